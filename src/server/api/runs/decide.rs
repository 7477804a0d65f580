//! What a person decides on a run: approve, discard, cancel, resolve.

use axum::extract::State;

use super::shown;
use crate::protocol::Timestamp;
use crate::protocol::api::{Approval, Cancellation, Resolution, Run, RunEventKind};
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, UserActor, approval};
use crate::server::audit::{self, Particulars};
use crate::server::operations::{self, Besides};
use crate::server::policy::Permission;
use crate::server::queue::{Event, InvalidTransition, LeaseTerms, Wish};
use crate::server::store::WriteTransaction;
use crate::server::store::runs::{self, RunRecord, settle};
use crate::server::store::state::lock;

/// `POST runs/{id}/approve`: binds the digest of what was planned.
pub(super) async fn approve(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
    Json(approval): Json<Approval>,
) -> Result<Json<Run>, ApiError> {
    actor.allow(Permission::RunApprove)?;
    let (mut transaction, mut record) = begin(&state, run).await?;
    if record.standing.state == RunState::AwaitingApproval
        && approval.artifact_digest.is_some()
        && approval.artifact_digest != record.artifact_digest
    {
        let text =
            "what waits for approval is not what you approve: its digest is another; hint: look at the plan again";
        return Err(ApiError::new(Code::Conflict, text));
    }
    record.approved_by = Some(actor.name.clone());
    record.approval = Some(approval::mark(&state, &actor, &mut transaction, &record).await?);
    let particulars = Particulars::RunApprove { artifact_digest: record.artifact_digest.clone() };
    decide(&state, &actor, transaction, record, (Event::Approve, particulars)).await
}

/// `POST runs/{id}/discard`.
pub(super) async fn discard(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
) -> Result<Json<Run>, ApiError> {
    actor.allow(Permission::RunApprove)?;
    let (transaction, record) = begin(&state, run).await?;
    decide(&state, &actor, transaction, record, (Event::Discard, Particulars::RunDiscard {})).await
}

/// `POST runs/{id}/cancel`: at once before an agent has it; otherwise its agent is told.
pub(super) async fn cancel(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
    Json(cancellation): Json<Cancellation>,
) -> Result<Json<Run>, ApiError> {
    actor.allow(Permission::RunCancel)?;
    let (mut transaction, record) = begin(&state, run).await?;
    let wish = if cancellation.kill { Wish::Kill } else { Wish::Cancel };
    let asked = RunEventKind::CancelRequested { by: actor.name.clone(), kill: cancellation.kill };
    let news = record.standing.after(Event::Cancel(wish)).is_ok_and(|after| after != record.standing);
    if news {
        runs::events::add(&mut transaction, run, &asked, state.clock.now()).await?;
    }
    let particulars = Particulars::RunCancel { kill: cancellation.kill };
    decide(&state, &actor, transaction, record, (Event::Cancel(wish), particulars)).await
}

/// `POST runs/{id}/resolve`: a lost run; frees workspace and lock.
pub(super) async fn resolve(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
    Json(resolution): Json<Resolution>,
) -> Result<Json<Run>, ApiError> {
    actor.allow(Permission::RunResolve)?;
    let (mut transaction, record) = begin(&state, run).await?;
    let event = Event::Resolve(resolution.resolved_as);
    let now = state.lease_time(&mut transaction).await?;
    let state_after = record.standing.after(event).map_err(|refusal| unresolved(&record, &refusal, now))?.state;
    lock::release_of_run(&mut transaction, record.workspace, run).await?;
    decide(&state, &actor, transaction, record, (event, Particulars::RunResolve { state: state_after })).await
}

async fn begin(state: &ServerState, run: RunId) -> Result<(WriteTransaction, RunRecord), ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let record = runs::load(&mut transaction, run).await?.ok_or_else(|| ApiError::not_found("run", run))?;
    Ok((transaction, record))
}

async fn decide(
    state: &ServerState,
    actor: &UserActor,
    mut transaction: WriteTransaction,
    mut record: RunRecord,
    (event, particulars): (Event, Particulars),
) -> Result<Json<Run>, ApiError> {
    let now = state.clock.now();
    let topics = settle::happen(&mut transaction, &mut record, event, now).await?;
    let topics = topics.map_err(|refusal| refused(&refusal))?;
    audit::record(&mut transaction, now, &actor.actor(), &record.id, &particulars).await?;
    let what = match event {
        Event::Approve => "run approved",
        Event::Discard => "plan discarded",
        Event::Cancel(_) if record.standing.state == RunState::Canceled => "run canceled",
        Event::Cancel(_) => "run is to be canceled: its agent is told",
        _ => "lost run resolved",
    };
    let by = Some(actor.name.clone());
    operations::note(&mut transaction, &record, what, Besides { by, ..Besides::default() });
    let run = shown::with_steps(state, actor, &mut transaction, record).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(Json(run))
}

/// A run that is not lost cannot be resolved; while its agent is silent it may come to that.
fn unresolved(record: &RunRecord, refusal: &InvalidTransition, now: Timestamp) -> ApiError {
    let deadline = record.lease_deadline.filter(|_| record.standing.is_claimed() && record.standing.apply_started());
    let Some(deadline) = deadline else { return refused(refusal) };
    let seconds = LeaseTerms::left(deadline, now).as_secs() + 1;
    let text = format!(
        "the run is `{}`: an agent has it; hint: if that agent is not heard of again, the run becomes `lost` in \
         {seconds} s and can be resolved then; `nigari run show` says when it was last heard of",
        record.standing.state
    );
    ApiError::new(Code::Conflict, text)
}

/// What a person is told, by state rather than by event.
fn refused(refusal: &InvalidTransition) -> ApiError {
    let hint = match refusal.state {
        RunState::Lost => "`nigari run resolve` says what became of it",
        RunState::AwaitingApproval => "approve or discard it",
        RunState::Planning | RunState::Applying => "`nigari run cancel` ends it",
        state if state.is_final() => "it has ended; make a new run",
        _ => "`nigari run show` says what it waits for",
    };
    ApiError::new(Code::Conflict, format!("the run is `{}`, so this is not possible; hint: {hint}", refusal.state))
}
