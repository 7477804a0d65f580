//! The state, for tofu behind the agent's gateway.
//!
//! Rule: the plan reads and locks; only an apply that was reported writes, and it must hold the lock. Whoever holds the
//! lock may write and unlock even when its lease is gone: refusing it would orphan what tofu has made.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use super::held::{held, known, lease_without_time, stale};
use crate::protocol::api::StateLock;
use crate::protocol::id::RunId;
use crate::server::api::headers::{self, Epoch};
use crate::server::api::state_version::{self, Author, Incoming};
use crate::server::api::{ApiError, Code, Json, Path, Query, ServerState, SessionActor};
use crate::server::policy::Protected;
use crate::server::store::AnyConnection;
use crate::server::store::runs::{RunRecord, claims, steps};
use crate::server::store::state::lock::{self as state_lock, HeldLock};

/// The query of a state's write.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WriteQuery {
    #[serde(default)]
    lock: String,
}

/// `GET agent/runs/{run}/state`: bytes, or 204.
pub(super) async fn get(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
) -> Result<Response, ApiError> {
    let record = held(&mut *state.store.read().await?, &actor, run, epoch).await?;
    let permit = lease_without_time(&record, epoch).open(Protected::State)?;
    state_version::send_newest(&state, &permit, record.workspace).await
}

/// `POST agent/runs/{run}/state?lock=ID`.
pub(super) async fn write(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Query(query): Query<WriteQuery>,
    request: Request<Body>,
) -> Result<StatusCode, ApiError> {
    let epoch = headers::epoch(request.headers())?;
    let record = may_write(&mut *state.store.read().await?, &actor, (run, epoch), &query.lock).await?;
    let permit = lease_without_time(&record, epoch).seal(Protected::State)?;
    let incoming = Incoming::read(&state, &permit, record.workspace, request).await?;
    let mut transaction = state.store.begin_write().await?;
    // Receiving takes time: the lock must still be the run's.
    may_write(&mut transaction, &actor, (run, epoch), &query.lock).await?;
    let author = Author { actor: actor.actor(), run: Some(run), created_by: None, force: false };
    let topics = incoming.store(&state, &mut transaction, &author).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The run, if this claim of it started its apply and holds the lock.
async fn may_write(
    connection: &mut AnyConnection,
    actor: &SessionActor,
    (run, epoch): (RunId, i64),
    lock: &str,
) -> Result<RunRecord, ApiError> {
    let record = known(&mut *connection, actor, run).await?;
    if !claims::had(&mut *connection, run, actor.agent, epoch).await? {
        return Err(stale(epoch));
    }
    if !steps::apply_started(&mut *connection, run, epoch).await? {
        if !record.is_held_by(actor.agent, epoch) {
            return Err(stale(epoch));
        }
        let text = "the state is written by a reported apply alone; hint: report the step `apply` first";
        return Err(ApiError::new(Code::Conflict, text));
    }
    match state_lock::holder(connection, record.workspace).await? {
        Some(held) if held.lock.id == lock && held.run == Some((run, epoch)) => Ok(record),
        Some(held) => Err(state_version::locked(&held)),
        None => {
            let text =
                "the run does not hold the state's lock any more; hint: `nigari state push` can store what it has";
            Err(ApiError::new(Code::Conflict, text))
        }
    }
}

/// `POST agent/runs/{run}/state/lock`.
pub(super) async fn lock(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
    Json(lock): Json<StateLock>,
) -> Result<Response, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let record = held(&mut transaction, &actor, run, epoch).await?;
    let wanted = HeldLock { lock, run: Some((run, epoch)) };
    state_version::lock(&state, transaction, record.workspace, wanted).await
}

/// `POST agent/runs/{run}/state/unlock`: its own lock, also when the claim is gone.
pub(super) async fn unlock(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
    Json(lock): Json<StateLock>,
) -> Result<Response, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let record = known(&mut transaction, &actor, run).await?;
    if !claims::had(&mut transaction, run, actor.agent, epoch).await? {
        return Err(stale(epoch));
    }
    let own = HeldLock { lock, run: Some((run, epoch)) };
    if !record.is_held_by(actor.agent, epoch) {
        let holder = state_lock::holder(&mut transaction, record.workspace).await?;
        if holder.and_then(|held| held.run) != own.run {
            return Err(stale(epoch));
        }
    }
    state_version::unlock(&state, transaction, record.workspace, &own).await
}
