//! A phase has ended.
//!
//! Rule: idempotent on (run, epoch, phase): the same report again gets the same answer, another one is refused. A report
//! under an epoch that is not the run's any more changes nothing; it is kept as evidence.

use axum::extract::State;
use serde::Serialize;
use zeroize::Zeroizing;

use super::finish_check::{canonical, check, check_artifact};
use super::held::{known, lease_without_time, stale};
use crate::protocol::Timestamp;
use crate::protocol::agent::{FailureClass, Finish, FinishAnswer, NextAction};
use crate::protocol::api::RunEventKind;
use crate::protocol::id::{AgentId, RunId};
use crate::protocol::run::{Phase, RunState};
use crate::server::api::headers::Epoch;
use crate::server::api::sealed_report::{Column, Place};
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor, snapshot};
use crate::server::audit::{self, Actor, Particulars};
use crate::server::operations::{self, Besides};
use crate::server::policy::{Permit, Protected};
use crate::server::queue::{Ending, Event, Topic};
use crate::server::store::runs::finishes::{self, FinishRecord, ReceiptRecord};
use crate::server::store::runs::row::SealedFailure;
use crate::server::store::runs::{RunRecord, claims, events, logs, settle};
use crate::server::store::{WriteTransaction, blobs};

/// A report with what identifies it.
struct Report<'a> {
    state: &'a ServerState,
    permit: Permit,
    place: Place,
    agent: AgentId,
    digest: String,
    finish: Finish,
    now: Timestamp,
}

impl Report<'_> {
    fn seal<T: Serialize>(&self, column: Column, value: &T) -> Result<Vec<u8>, ApiError> {
        self.place.seal(self.state, &self.permit, column, value)
    }
}

/// `POST agent/runs/{run}/finish`.
pub(super) async fn finish(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
    Json(finish): Json<Finish>,
) -> Result<Json<FinishAnswer>, ApiError> {
    check(&finish)?;
    let canonical = Zeroizing::new(canonical(&finish)?);
    let mut transaction = state.store.begin_write().await?;
    let record = known(&mut transaction, &actor, run).await?;
    if !claims::had(&mut transaction, run, actor.agent, epoch).await? {
        return Err(stale(epoch));
    }
    let permit = lease_without_time(&record, epoch).seal(Protected::Report)?;
    for phase in [Phase::Plan, Phase::Apply] {
        let digest = Place { run, epoch, phase }.digest(&state, &permit, canonical.as_bytes())?;
        if let Some(word) = finishes::answered(&mut transaction, run, epoch, &digest).await? {
            let next = again(&state, &mut transaction, &record, (epoch, next_of(&word))).await?;
            return Ok(Json(FinishAnswer { next }));
        }
    }
    let is_held = record.is_held_by(actor.agent, epoch);
    let phase = match record.standing.phase() {
        Some(phase) if is_held => phase,
        _ => phase_once(&mut transaction, run, epoch).await?,
    };
    let place = Place { run, epoch, phase };
    let digest = place.digest(&state, &permit, canonical.as_bytes())?;
    let now = state.clock.now();
    let report = Report { state: &state, permit, place, agent: actor.agent, digest, finish, now };
    if finishes::next(&mut transaction, run, epoch, phase).await?.is_some() {
        let text = "another report of this phase's end was taken before; hint: the claim is over, wipe";
        return Err(ApiError::new(Code::Conflict, text));
    }
    if !is_held {
        let topics = keep(&mut transaction, &report, "done", true).await?;
        state.wake.commit(&state.store, transaction, &topics).await?;
        return Err(stale(epoch));
    }
    let (next, topics) = take(&mut transaction, &actor, record, &report).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(Json(FinishAnswer { next }))
}

/// The answer that was given before. It stands in plain: *apply now* is not said to a run that was not made for it.
async fn again(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    record: &RunRecord,
    (epoch, next): (i64, NextAction),
) -> Result<NextAction, ApiError> {
    if next != NextAction::ApplyNow || record.standing.state != RunState::Applying {
        return Ok(next);
    }
    let holds = record.standing.auto_apply && is_as_made(state, transaction, record, epoch).await?;
    Ok(if holds { next } else { NextAction::Done })
}

/// Whether the run is what it was made as. Who writes the database can change what stands in plain.
async fn is_as_made(
    state: &ServerState,
    transaction: &mut WriteTransaction,
    record: &RunRecord,
    epoch: i64,
) -> Result<bool, ApiError> {
    let permit = lease_without_time(record, epoch).open(Protected::RunVariables)?;
    let opened = match snapshot::configuration(transaction, record).await {
        Ok(found) => snapshot::open(state, &permit, transaction, (record, &found.configuration)).await.map(drop),
        Err(error) => Err(error),
    };
    match opened {
        Ok(()) => Ok(true),
        Err(error) if snapshot::is_unreadable(&error) => {
            tracing::error!(run = %record.id, "a run that was not made so was to be applied at once: was the database changed?");
            Ok(false)
        }
        Err(error) => Err(error),
    }
}

/// The phase that an epoch was in when it was lost.
async fn phase_once(transaction: &mut WriteTransaction, run: RunId, epoch: i64) -> Result<Phase, ApiError> {
    let granted = claims::phase(&mut *transaction, run, epoch).await?.unwrap_or(Phase::Plan);
    let answer = finishes::next(&mut *transaction, run, epoch, Phase::Plan).await?;
    let went_on = granted == Phase::Plan && answer.as_deref() == Some("apply_now");
    Ok(if went_on { Phase::Apply } else { granted })
}

/// The report counts.
async fn take(
    transaction: &mut WriteTransaction,
    actor: &SessionActor,
    mut record: RunRecord,
    report: &Report<'_>,
) -> Result<(NextAction, Vec<Topic>), ApiError> {
    let finish = &report.finish;
    check_artifact(finish, &record)?;
    check_log(transaction, report).await?;
    let lease_lost = finish.failure.as_ref().is_some_and(|failure| failure.class == FailureClass::LeaseLost);
    note(&mut record, report)?;
    let mut topics = if lease_lost && record.standing.is_claimed() && !record.standing.apply_started() {
        // The agent fenced itself before the server gave up: the same as if it had not been heard of.
        record.failure = None;
        claims::give_up(transaction, &mut record, report.now).await?
    } else {
        let event = what_follows(transaction, &record, report).await?;
        let followed = settle::happen(transaction, &mut record, event, report.now).await?;
        followed.map_err(|refusal| ApiError::new(Code::Conflict, refusal))?
    };
    let goes_on = report.place.phase == Phase::Plan && record.standing.state == RunState::Applying;
    let (next, word) = if goes_on { (NextAction::ApplyNow, "apply_now") } else { (NextAction::Done, "done") };
    topics.extend(keep(transaction, report, word, false).await?);
    let particulars =
        Particulars::RunFinish { phase: report.place.phase, epoch: report.place.epoch, state: record.standing.state };
    audit::record(transaction, report.now, &actor.actor(), &record.id, &particulars).await?;
    let what = match record.standing.state {
        RunState::AwaitingApproval => "run planned: waits for approval",
        RunState::Applying => "run planned: is applied at once",
        state if state.is_final() => "run ended",
        _ => "claim ended without a result",
    };
    let reason = finish.failure.as_ref().map(operations::reason);
    operations::note(transaction, &record, what, Besides { reason, ..Besides::default() });
    Ok((next, topics))
}

/// The report, or the run's end: a plan is applied at once only where the run was made so. Whoever can write the database
/// can say it of any run, but then what the run was made of does not open.
async fn what_follows(
    transaction: &mut WriteTransaction,
    record: &RunRecord,
    report: &Report<'_>,
) -> Result<Event, ApiError> {
    let event = Event::Finish(report.place.phase, report.finish.outcome);
    let after = record.standing.after(event).map(|after| after.state);
    if record.standing.state != RunState::Planning || after != Ok(RunState::Applying) {
        return Ok(event);
    }
    let epoch = report.place.epoch;
    if is_as_made(report.state, transaction, record, epoch).await? {
        return Ok(event);
    }
    let particulars = Particulars::RunRefuse { epoch, reason: Ending::Unreadable.word() };
    audit::record(transaction, report.now, &Actor::Server, &record.id, &particulars).await?;
    Ok(Event::Refuse(Ending::Unreadable))
}

/// A log that is not all there does not hold the run up, but whoever runs the server should know.
async fn check_log(transaction: &mut WriteTransaction, report: &Report<'_>) -> Result<(), ApiError> {
    let stored =
        match logs::of_claim(&mut *transaction, report.place.run, report.place.phase, report.place.epoch).await? {
            Some(blob) => blobs::head(&mut *transaction, blob).await?.map_or(0, |head| head.bytes),
            None => 0,
        };
    if u64::try_from(stored).unwrap_or(0) != report.finish.log_bytes {
        let (run, phase, said) = (report.place.run, report.place.phase, report.finish.log_bytes);
        tracing::warn!(%run, %phase, said, stored, "the log is not complete");
    }
    Ok(())
}

/// What the run remembers of the report.
fn note(record: &mut RunRecord, report: &Report<'_>) -> Result<(), ApiError> {
    let finish = &report.finish;
    let Place { epoch, phase, .. } = report.place;
    record.failure = match &finish.failure {
        Some(failure) => Some(SealedFailure { phase, epoch, sealed: report.seal(Column::Failure, failure)? }),
        None => None,
    };
    if phase == Phase::Plan {
        record.plan = finish.plan;
    }
    if finish.backend.is_some() {
        record.backend.clone_from(&finish.backend);
    }
    if finish.run_directory.is_some() {
        record.run_directory.clone_from(&finish.run_directory);
    }
    Ok(())
}

/// Keeps the report and its receipt.
async fn keep(
    transaction: &mut WriteTransaction,
    report: &Report<'_>,
    next: &'static str,
    evidence: bool,
) -> Result<Vec<Topic>, ApiError> {
    let record = FinishRecord {
        run: report.place.run,
        epoch: report.place.epoch,
        phase: report.place.phase,
        digest: report.digest.clone(),
        next,
        evidence,
        body: report.seal(Column::Body, &report.finish)?,
        received_at: report.now,
    };
    finishes::add(transaction, &record).await?;
    if let Some(receipt) = &report.finish.receipt {
        let Place { epoch, phase, .. } = report.place;
        let sealed = report.seal(Column::Receipt, receipt)?;
        let receipt = ReceiptRecord { phase, epoch, agent: report.agent, sealed };
        if finishes::add_receipt(transaction, &receipt, report.place.run, report.now).await? {
            let event = RunEventKind::Receipt { phase: report.place.phase };
            events::add(transaction, report.place.run, &event, report.now).await?;
        }
    }
    Ok(vec![Topic::Run(report.place.run)])
}

fn next_of(word: &str) -> NextAction {
    if word == "apply_now" { NextAction::ApplyNow } else { NextAction::Done }
}
