//! Workspaces: made, shown, changed, removed.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::authentication::UserActor;
use super::extract::{Json, Path, Query};
use super::problem::{ApiError, Code};
use super::revision;
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::state_version;
use super::values::{check_description, check_workspace_name};
use crate::protocol::api::{List, NewWorkspace, Workspace, WorkspaceChange};
use crate::protocol::id::{PoolId, WorkspaceId};
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Protected};
use crate::server::store::agents::{self, DEFAULT_POOL};
use crate::server::store::workspaces::{self as store, WorkspaceRow};
use crate::server::store::{AnyConnection, WriteTransaction};

/// `workspaces`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/workspaces", list)
        .post("/workspaces", create)
        .get("/workspaces/{workspace}", get)
        .patch("/workspaces/{workspace}", change)
        .delete("/workspaces/{workspace}", remove)
}

/// The workspace of an id or name.
///
/// # Errors
/// `not_found`.
pub async fn find(connection: &mut AnyConnection, id_or_name: &str) -> Result<WorkspaceRow, ApiError> {
    store::find(connection, id_or_name).await?.ok_or_else(|| ApiError::not_found("workspace", id_or_name))
}

async fn list(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<Workspace>>, ApiError> {
    user.allow(Permission::WorkspaceRead)?;
    let rows = store::list(&mut *state.store.read().await?).await?;
    Ok(Json(List { items: rows.iter().map(WorkspaceRow::to_workspace).collect(), next: None }))
}

async fn get(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::WorkspaceRead)?;
    let row = find(&mut *state.store.read().await?, &name).await?;
    Ok((revision::etag(row.revision), Json(row.to_workspace())))
}

async fn create(
    user: UserActor,
    State(state): State<ServerState>,
    Json(new): Json<NewWorkspace>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::WorkspaceWrite)?;
    check_workspace_name(&new.name)?;
    check_description("description", &new.description)?;
    let now = state.clock.now();
    let mut transaction = state.store.begin_write().await?;
    let pool = new.pool.unwrap_or_else(|| DEFAULT_POOL.to_owned());
    let row = WorkspaceRow {
        id: WorkspaceId::generate(),
        name: new.name,
        description: new.description,
        pool_id: pool_named(&mut transaction, &pool).await?,
        pool,
        auto_apply: new.auto_apply,
        delivery: new.delivery,
        whole_run: new.whole_run,
        created_at: now,
        revision: 1,
        active_run: None,
        state_lock: None,
        state_serial: None,
    };
    check_free(&mut transaction, &row).await?;
    store::insert(&mut transaction, &row).await?;
    let (delivery, whole_run) = (row.delivery, row.whole_run);
    let particulars = Particulars::WorkspaceCreate { name: row.name.clone(), delivery, whole_run };
    audit::record(&mut transaction, now, &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, revision::etag(row.revision), Json(row.to_workspace())))
}

async fn change(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(change): Json<WorkspaceChange>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::WorkspaceWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let mut row = find(&mut transaction, &name).await?;
    revision::check(&headers, row.revision)?;
    if let Some(name) = change.name {
        check_workspace_name(&name)?;
        row.name = name;
        check_free(&mut transaction, &row).await?;
    }
    if let Some(description) = change.description {
        check_description("description", &description)?;
        row.description = description;
    }
    if let Some(pool) = change.pool {
        row.pool_id = pool_named(&mut transaction, &pool).await?;
        row.pool = pool;
    }
    row.auto_apply = change.auto_apply.unwrap_or(row.auto_apply);
    row.delivery = change.delivery.unwrap_or(row.delivery);
    row.whole_run = change.whole_run.unwrap_or(row.whole_run);
    row.revision += 1;
    store::update(&mut transaction, &row).await?;
    let particulars = Particulars::WorkspaceUpdate {
        name: row.name.clone(),
        auto_apply: row.auto_apply,
        pool: row.pool_id,
        delivery: row.delivery,
        whole_run: row.whole_run,
    };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok((revision::etag(row.revision), Json(row.to_workspace())))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Removal {
    #[serde(default)]
    force: bool,
}

async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    Query(removal): Query<Removal>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::WorkspaceWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let row = find(&mut transaction, &name).await?;
    revision::check(&headers, row.revision)?;
    if let Some(run) = row.active_run {
        let text = format!("the run {run} occupies the workspace; hint: wait for it, or cancel or resolve it");
        return Err(ApiError::new(Code::Conflict, text));
    }
    if row.state_lock.is_some() {
        let text = "somebody holds the lock of its state; hint: wait for them, or unlock it";
        return Err(ApiError::new(Code::Conflict, text));
    }
    if row.state_serial.is_some() && !removal.force && !has_empty_state(&state, &user, row.id).await? {
        let text = "it has a state, so its resources probably exist; hint: `nigari destroy` first, or `--force` (`force=true` \
                    in the API) to forget them";
        return Err(ApiError::new(Code::Conflict, text));
    }
    store::delete(&mut transaction, row.id).await?;
    let particulars = Particulars::WorkspaceDelete { name: row.name, with_state: row.state_serial.is_some() };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whether the newest state names no resource, as after a destroy. For who may not read states, none is known to.
async fn has_empty_state(state: &ServerState, user: &UserActor, workspace: WorkspaceId) -> Result<bool, ApiError> {
    match user.role.open(Protected::State) {
        Ok(permit) => state_version::is_empty(state, &permit, workspace).await,
        Err(_) => Ok(false),
    }
}

async fn pool_named(transaction: &mut WriteTransaction, name: &str) -> Result<PoolId, ApiError> {
    let pool = agents::pool_named(transaction, name).await?;
    pool.ok_or_else(|| ApiError::invalid("pool", "there is no such pool; hint: `nigari agent pool list` shows them"))
}

async fn check_free(transaction: &mut WriteTransaction, row: &WorkspaceRow) -> Result<(), ApiError> {
    if store::find(transaction, &row.name).await?.is_some_and(|other| other.id != row.id) {
        let text = format!("there is a workspace `{}` already; hint: choose another name", row.name);
        return Err(ApiError::new(Code::Conflict, text));
    }
    Ok(())
}
