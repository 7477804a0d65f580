//! A receipt without the report of its phase's end: the agent died, and the one after it tells what became of the delivery.
//!
//! Rule: the claim may be over for long, but the agent must have had that epoch. The first receipt of (run, epoch, phase)
//! counts, whichever way it came, and nothing else of the run changes.

use axum::extract::State;
use axum::http::StatusCode;

use super::held::{known, lease_without_time, stale};
use crate::protocol::agent::Receipt;
use crate::protocol::api::RunEventKind;
use crate::protocol::id::RunId;
use crate::protocol::run::Phase;
use crate::server::api::headers::Epoch;
use crate::server::api::sealed_report::{Column, Place};
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor};
use crate::server::audit::{self, Particulars};
use crate::server::policy::Protected;
use crate::server::queue::Topic;
use crate::server::store::WriteTransaction;
use crate::server::store::runs::finishes::{self, ReceiptRecord};
use crate::server::store::runs::{claims, events};

/// `POST agent/runs/{run}/receipts/{phase}`.
pub(super) async fn late(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path((run, phase)): Path<(RunId, Phase)>,
    Epoch(epoch): Epoch,
    Json(receipt): Json<Receipt>,
) -> Result<StatusCode, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let record = known(&mut transaction, &actor, run).await?;
    if !claims::had(&mut transaction, run, actor.agent, epoch).await? {
        return Err(stale(epoch));
    }
    if !was_in(&mut transaction, run, epoch, phase).await? {
        return Err(ApiError::new(Code::Conflict, format!("that claim was never in the phase `{phase}`")));
    }
    let permit = lease_without_time(&record, epoch).seal(Protected::Report)?;
    let sealed = Place { run, epoch, phase }.seal(&state, &permit, Column::Receipt, &receipt)?;
    let now = state.clock.now();
    let receipt = ReceiptRecord { phase, epoch, agent: actor.agent, sealed };
    if finishes::add_receipt(&mut transaction, &receipt, run, now).await? {
        events::add(&mut transaction, run, &RunEventKind::Receipt { phase }, now).await?;
        audit::record(&mut transaction, now, &actor.actor(), &run, &Particulars::RunReceipt { phase, epoch }).await?;
    }
    state.wake.commit(&state.store, transaction, &[Topic::Run(run)]).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A claim is in the phase that it was granted for; a plan that is applied at once goes on to the other.
async fn was_in(transaction: &mut WriteTransaction, run: RunId, epoch: i64, phase: Phase) -> Result<bool, ApiError> {
    if claims::phase(&mut *transaction, run, epoch).await? == Some(phase) {
        return Ok(true);
    }
    let answer = finishes::next(&mut *transaction, run, epoch, Phase::Plan).await?;
    Ok(phase == Phase::Apply && answer.as_deref() == Some("apply_now"))
}
