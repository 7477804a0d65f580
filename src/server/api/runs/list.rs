//! Runs: one, or a page, newest first.

use axum::extract::State;
use serde::Deserialize;

use super::shown;
use crate::protocol::api::{List, Run};
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;
use crate::server::api::place::workspace_of;
use crate::server::api::{ApiError, Json, Path, Query, ServerState, UserActor};
use crate::server::policy::Permission;
use crate::server::store::runs::list::{Filter, page};
use crate::server::store::{agents, runs};

const PAGE: i64 = 50;
const LONGEST_PAGE: i64 = 500;

/// The query of a list.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ListQuery {
    workspace: Option<String>,
    state: Option<RunState>,
    limit: Option<i64>,
    before: Option<i64>,
}

/// `GET runs?workspace=&state=&limit=&before=`. The runs are without their steps.
pub(super) async fn list(
    State(state): State<ServerState>,
    actor: UserActor,
    Query(query): Query<ListQuery>,
) -> Result<Json<List<Run>>, ApiError> {
    actor.allow(Permission::RunRead)?;
    let limit = query.limit.unwrap_or(PAGE);
    if !(1..=LONGEST_PAGE).contains(&limit) {
        return Err(ApiError::invalid("limit", "not a number from 1 to 500"));
    }
    let mut connection = state.store.read().await?;
    let workspace = match &query.workspace {
        Some(workspace) => Some(workspace_of(&mut connection, workspace).await?),
        None => None,
    };
    // One more than asked for says whether there is a next page.
    let filter = Filter { workspace, state: query.state, before: query.before, limit: limit + 1 };
    let mut records = page(&mut connection, &filter).await?;
    let full = i64::try_from(records.len()).unwrap_or(0) > limit;
    if full {
        records.pop();
    }
    let next = records.last().filter(|_| full).map(|record| record.sequence.to_string());
    let items = records.into_iter().map(|record| shown::plain(&state, &actor, record)).collect::<Result<_, _>>()?;
    Ok(Json(List { items, next }))
}

/// `GET runs/{id}`.
pub(super) async fn get(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
) -> Result<Json<Run>, ApiError> {
    actor.allow(Permission::RunRead)?;
    let mut connection = state.store.read().await?;
    let record = runs::load(&mut connection, run).await?.ok_or_else(|| ApiError::not_found("run", run))?;
    let holder = record.agent.filter(|_| record.standing.is_claimed() || record.standing.state == RunState::Lost);
    let agent_last_seen_at = match holder {
        Some(agent) => agents::get(&mut connection, agent).await?.map(|row| state.presence.last_heard(&row)),
        None => None,
    };
    Ok(Json(Run { agent_last_seen_at, ..shown::with_steps(&state, &actor, &mut connection, record).await? }))
}
