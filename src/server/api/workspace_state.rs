//! A workspace's state, for people: pull, push, versions, lock, unlock.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::place::workspace_of;
use super::state_version::{self, Author, Incoming};
use super::{ApiError, Audience, Code, Json, Path, Query, Routes, ServerState, UserActor};
use crate::protocol::api::{List, StateLock, StateVersion};
use crate::protocol::id::WorkspaceId;
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Protected};
use crate::server::store::runs::list;
use crate::server::store::state::lock::{self as state_lock, HeldLock};
use crate::server::store::{AnyConnection, state};

/// What runs call the state that is kept here.
const OWN_BACKEND: &str = "nigari";

pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/workspaces/{workspace}/state", pull)
        .post("/workspaces/{workspace}/state", push)
        .get("/workspaces/{workspace}/state/versions", versions)
        .post("/workspaces/{workspace}/state/lock", lock)
        .post("/workspaces/{workspace}/state/unlock", unlock)
}

/// The query of a push.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PushQuery {
    #[serde(default)]
    lock: String,
    #[serde(default)]
    force: bool,
}

async fn pull(
    State(server): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
) -> Result<Response, ApiError> {
    let permit = actor.role.open(Protected::State)?;
    let workspace = {
        let mut connection = server.store.read().await?;
        let workspace = workspace_of(&mut connection, &workspace).await?;
        check_backend(&mut connection, workspace).await?;
        workspace
    };
    state_version::send_newest(&server, &permit, workspace).await
}

/// A state that a backend of the configuration's own keeps is not here; an older one of ours would mislead.
async fn check_backend(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<(), ApiError> {
    match list::newest_backend(connection, workspace).await? {
        Some(backend) if backend != OWN_BACKEND => {
            let text = format!(
                "the configuration keeps its state in its own backend `{backend}`; hint: read it there, with `tofu state pull`"
            );
            Err(ApiError::new(Code::Conflict, text))
        }
        _ => Ok(()),
    }
}

/// `?lock=ID` where the pusher holds the lock; `?force=true` where serial and lineage shall not matter.
async fn push(
    State(server): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
    Query(query): Query<PushQuery>,
    request: Request<Body>,
) -> Result<StatusCode, ApiError> {
    let permit = actor.role.seal(Protected::State)?;
    let workspace = {
        let mut connection = server.store.read().await?;
        let workspace = workspace_of(&mut connection, &workspace).await?;
        check_lock(&mut connection, workspace, &query.lock).await?;
        workspace
    };
    let incoming = Incoming::read(&server, &permit, workspace, request).await?;
    let mut transaction = server.store.begin_write().await?;
    check_lock(&mut transaction, workspace, &query.lock).await?;
    let author = Author { actor: actor.actor(), run: None, created_by: Some(actor.name.clone()), force: query.force };
    let topics = incoming.store(&server, &mut transaction, &author).await?;
    server.wake.commit(&server.store, transaction, &topics).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn check_lock(connection: &mut AnyConnection, workspace: WorkspaceId, own: &str) -> Result<(), ApiError> {
    match state_lock::holder(connection, workspace).await? {
        Some(held) if held.lock.id != own => Err(state_version::locked(&held)),
        _ => Ok(()),
    }
}

/// Newest first.
async fn versions(
    State(server): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
) -> Result<Json<List<StateVersion>>, ApiError> {
    actor.allow(Permission::StateRead)?;
    let mut connection = server.store.read().await?;
    let workspace = workspace_of(&mut connection, &workspace).await?;
    let records = state::versions(&mut connection, workspace).await?;
    Ok(Json(List { items: records.into_iter().map(|record| record.version).collect(), next: None }))
}

async fn lock(
    State(server): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
    Json(lock): Json<StateLock>,
) -> Result<Response, ApiError> {
    actor.allow(Permission::StateWrite)?;
    let mut transaction = server.store.begin_write().await?;
    let workspace = workspace_of(&mut transaction, &workspace).await?;
    state_version::lock(&server, transaction, workspace, HeldLock { lock, run: None }).await
}

/// Frees the lock of this id, whoever holds it: naming it is knowing what one does.
async fn unlock(
    State(server): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
    Json(lock): Json<StateLock>,
) -> Result<Response, ApiError> {
    actor.allow(Permission::StateWrite)?;
    let mut transaction = server.store.begin_write().await?;
    let workspace = workspace_of(&mut transaction, &workspace).await?;
    let particulars = Particulars::StateUnlock { lock: lock.id.chars().take(256).collect() };
    audit::record(&mut transaction, server.clock.now(), &actor.actor(), &workspace, &particulars).await?;
    state_version::unlock(&server, transaction, workspace, &HeldLock { lock, run: None }).await
}
