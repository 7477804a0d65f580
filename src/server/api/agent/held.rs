//! What every route of a run asks first: does this agent hold the run's claim, with exactly this epoch?
//!
//! Rule: no route below `runs/{run}` looks at anything else before. A run of another pool does not exist for an agent,
//! unless it had it when the workspace was moved.

use crate::protocol::Timestamp;
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, RunState, Step};
use crate::server::api::{ApiError, SessionActor};
use crate::server::policy::{AgentLease, ReleaseRefused};
use crate::server::queue::{LeaseTerms, Verdict};
use crate::server::store::AnyConnection;
use crate::server::store::runs::{self, RunRecord};

/// A run that the agent may know of.
pub(super) async fn known(
    connection: &mut AnyConnection,
    actor: &SessionActor,
    run: RunId,
) -> Result<RunRecord, ApiError> {
    let record = runs::load(connection, run).await?;
    record
        .filter(|record| record.pool == actor.pool || record.agent == Some(actor.agent))
        .ok_or_else(|| ApiError::not_found("run", run))
}

/// A run whose newest claim this agent holds with this epoch; be it that its lease was lost with an apply running.
pub(super) async fn held(
    connection: &mut AnyConnection,
    actor: &SessionActor,
    run: RunId,
    epoch: i64,
) -> Result<RunRecord, ApiError> {
    let record = known(connection, actor, run).await?;
    if record.is_held_by(actor.agent, epoch) { Ok(record) } else { Err(stale(epoch)) }
}

/// The same, and the claim is alive: not lost.
pub(super) async fn alive(
    connection: &mut AnyConnection,
    actor: &SessionActor,
    run: RunId,
    epoch: i64,
) -> Result<RunRecord, ApiError> {
    let record = held(connection, actor, run, epoch).await?;
    if record.standing.state == RunState::Lost { Err(ReleaseRefused::LeaseOver.into()) } else { Ok(record) }
}

/// The refusal of a stale epoch.
pub(super) fn stale(epoch: i64) -> ApiError {
    ReleaseRefused::StaleEpoch { presented: epoch }.into()
}

/// What `policy` decides on, for a run that is [`held`] or [`alive`].
pub(super) fn lease(record: &RunRecord, epoch: i64, now: Timestamp) -> AgentLease {
    let in_time = record.lease_deadline.is_some_and(|deadline| LeaseTerms::judge(deadline, now) == Verdict::Stands);
    AgentLease {
        presented_epoch: epoch,
        current_epoch: record.standing.epoch,
        live: in_time,
        step: record.standing.last_step.and_then(of_the_plan),
        whole_run: false,
    }
}

/// The lease of a claim whose log and state are taken even when its time is over, as long as nobody else has the run.
pub(super) fn lease_without_time(record: &RunRecord, epoch: i64) -> AgentLease {
    AgentLease { live: true, ..lease(record, epoch, 0) }
}

fn of_the_plan((phase, step): (Phase, Step)) -> Option<Step> {
    (phase == Phase::Plan).then_some(step)
}
