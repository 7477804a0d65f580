//! An agent has kept a state aside that tofu could not write: people must learn of it.
//!
//! Asks for no epoch: the claim may be over for long, and the run another's. But the agent must have had it once.

use axum::extract::State;
use axum::http::StatusCode;

use super::held::known;
use crate::protocol::agent::KeptState;
use crate::protocol::api::RunEventKind;
use crate::protocol::id::RunId;
use crate::server::api::{ApiError, Json, Path, ServerState, SessionActor};
use crate::server::audit::{self, Particulars};
use crate::server::queue::Topic;
use crate::server::store::agents;
use crate::server::store::runs::{claims, events};

/// Longest path on Linux, `PATH_MAX`.
const PATH_BYTES: usize = 4096;

/// `POST agent/runs/{run}/kept-state`.
pub(super) async fn kept(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Json(KeptState { path }): Json<KeptState>,
) -> Result<StatusCode, ApiError> {
    if !path.starts_with('/') || path.len() > PATH_BYTES || path.chars().any(char::is_control) {
        return Err(ApiError::invalid("path", "it is not an absolute path without control characters"));
    }
    let mut transaction = state.store.begin_write().await?;
    known(&mut transaction, &actor, run).await?;
    if !claims::had_any(&mut transaction, run, actor.agent).await? {
        return Err(ApiError::not_found("run", run));
    }
    let agent = agents::get(&mut transaction, actor.agent).await?.map(|agent| agent.name).unwrap_or_default();
    let now = state.clock.now();
    events::add(&mut transaction, run, &RunEventKind::StateKeptAside { agent, path }, now).await?;
    audit::record(&mut transaction, now, &actor.actor(), &actor.agent, &Particulars::StateKeptAside { run }).await?;
    state.wake.commit(&state.store, transaction, &[Topic::Run(run)]).await?;
    Ok(StatusCode::NO_CONTENT)
}
