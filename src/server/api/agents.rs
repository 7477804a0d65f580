//! Agents and their pools, as people see them.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;

use super::authentication::UserActor;
use super::extract::{Json, Path, Query};
use super::problem::{ApiError, Code};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use crate::protocol::api::{Agent, AgentPool, AgentStatus, List};
use crate::protocol::id::{AgentId, RunId};
use crate::server::audit::{self, Particulars};
use crate::server::policy::Permission;
use crate::server::presence::WRITTEN_EVERY;
use crate::server::queue::Topic;
use crate::server::store::AnyConnection;
use crate::server::store::agents::{self, AgentRow};

/// What an answer and the next request may take on their way.
const MARGIN: Duration = Duration::from_secs(5);

/// `agents` and `agent-pools`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/agents", list)
        .delete("/agents/{agent}", remove)
        .post("/agents/{agent}/drain", drain)
        .delete("/agents/{agent}/drain", resume)
        .get("/agent-pools", pools)
}

async fn list(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<Agent>>, ApiError> {
    user.allow(Permission::AgentRead)?;
    let mut connection = state.store.read().await?;
    let pools = agents::pools(&mut connection).await?;
    let rows = agents::list(&mut connection).await?;
    let running = agents::running(&mut connection).await?;
    let items = rows.into_iter().map(|row| show(&state, row, &pools, &running)).collect();
    Ok(Json(List { items, next: None }))
}

fn show(state: &ServerState, row: AgentRow, pools: &[AgentPool], running: &[(AgentId, RunId)]) -> Agent {
    let heard = state.presence.last_heard(&row);
    // A long poll is held for a while and tells nothing meanwhile. What another replica heard is known when it has
    // written it down.
    let known_late = if state.settings.database_url.is_some() { WRITTEN_EVERY } else { Duration::ZERO };
    let patience = state.settings.lease.max(state.settings.hold) + known_late + MARGIN;
    let silence = state.clock.now().saturating_sub(heard);
    let online = i64::try_from(patience.as_micros()).is_ok_and(|patience| silence <= patience);
    let status = match (online, row.draining) {
        (false, _) => AgentStatus::Offline,
        (true, true) => AgentStatus::Draining,
        (true, false) => AgentStatus::Online,
    };
    let runs = running.iter().filter(|(agent, _)| *agent == row.id).map(|(_, run)| *run).collect();
    let pool = pools.iter().find(|pool| pool.id == row.pool_id).map(|pool| pool.name.clone());
    Agent {
        id: row.id,
        name: row.name,
        pool: pool.unwrap_or_default(),
        status,
        draining: row.draining,
        version: row.version,
        tofu_version: row.tofu_version,
        concurrency: u32::try_from(row.concurrency).unwrap_or(u32::MAX),
        joined_at: row.joined_at,
        last_seen_at: heard,
        runs,
    }
}

/// It finishes what it runs and takes nothing new, also after it comes back.
async fn drain(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
) -> Result<Json<Agent>, ApiError> {
    set_draining(&user, &state, &name, true).await
}

/// It may take runs again.
async fn resume(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
) -> Result<Json<Agent>, ApiError> {
    set_draining(&user, &state, &name, false).await
}

async fn set_draining(
    user: &UserActor,
    state: &ServerState,
    name: &str,
    draining: bool,
) -> Result<Json<Agent>, ApiError> {
    user.allow(Permission::AgentWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let mut row = named(&mut transaction, name).await?;
    let pools = agents::pools(&mut transaction).await?;
    let running = agents::running(&mut transaction).await?;
    if row.draining != draining {
        row.draining = draining;
        agents::set_draining(&mut transaction, row.id, draining).await?;
        let name = row.name.clone();
        let particulars = if draining { Particulars::AgentDrain { name } } else { Particulars::AgentResume { name } };
        audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
        state.wake.commit(&state.store, transaction, &[Topic::Agent(row.id)]).await?;
    }
    Ok(Json(show(state, row, &pools, &running)))
}

/// The query of a removal.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RemoveQuery {
    #[serde(default)]
    force: bool,
}

/// Its identity and its session are worth nothing from now on. One that a run depends on is removed only by force: what
/// it holds lapses with its lease, and of what is lost nobody will tell.
async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    Query(query): Query<RemoveQuery>,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::AgentWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let row = named(&mut transaction, &name).await?;
    let with_runs = agents::is_needed(&mut transaction, row.id).await?;
    if with_runs && !query.force {
        let text = "the agent has a run, or one of its runs is lost and it alone can tell of it; hint: drain it and wait, \
                    resolve what is lost, or remove it with `force`: its runs lapse then";
        return Err(ApiError::new(Code::Conflict, text));
    }
    agents::delete(&mut transaction, row.id).await?;
    let particulars = Particulars::AgentDelete { name: row.name, with_runs };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    state.wake.commit(&state.store, transaction, &[Topic::Agent(row.id), Topic::Pool(row.pool_id)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The agent of an id or a name.
async fn named(connection: &mut AnyConnection, name: &str) -> Result<AgentRow, ApiError> {
    let id: Option<AgentId> = name.parse().ok();
    let rows = agents::list(connection).await?;
    let mut found = rows.into_iter().filter(|row| id.map_or(row.name == name, |id| row.id == id));
    let row = found.next().ok_or_else(|| ApiError::not_found("agent", name))?;
    if found.next().is_some() {
        return Err(ApiError::new(Code::Conflict, "several agents have this name; hint: give the id of one"));
    }
    Ok(row)
}

async fn pools(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<AgentPool>>, ApiError> {
    user.allow(Permission::AgentRead)?;
    let items = agents::pools(&mut *state.store.read().await?).await?;
    Ok(Json(List { items, next: None }))
}
