//! A step is reported before its process starts; the apply's report is the write-ahead mark.

use axum::extract::State;
use axum::http::StatusCode;

use super::held::alive;
use crate::protocol::agent::StepReport;
use crate::protocol::api::RunEventKind;
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, Step};
use crate::server::api::headers::Epoch;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor};
use crate::server::operations::{self, Besides};
use crate::server::queue::Event;
use crate::server::store::runs::{events, settle, steps};

/// `POST agent/runs/{run}/steps/{step}`.
pub(super) async fn report(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path((run, step)): Path<(RunId, Step)>,
    Epoch(epoch): Epoch,
    Json(report): Json<StepReport>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    // Also for a repeat: its answer means that the step may begin now, which a lost apply may not.
    let mut record = alive(&mut transaction, &actor, run, epoch).await?;
    let phase = record.standing.phase().unwrap_or(Phase::Plan);
    if steps::request_of(&mut transaction, &record, (phase, step)).await? == Some(report.request) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let now = state.clock.now();
    let topics = settle::happen(&mut transaction, &mut record, Event::Report(phase, step), now).await?;
    let topics = topics.map_err(|refusal| ApiError::new(Code::Conflict, refusal))?;
    steps::add(&mut transaction, &record, (phase, step), report.request, now).await?;
    events::add(&mut transaction, run, &RunEventKind::Step { phase, step }, now).await?;
    let besides = Besides { step: Some(step.word()), ..Besides::default() };
    operations::note(&mut transaction, &record, "step begins", besides);
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(StatusCode::NO_CONTENT)
}
