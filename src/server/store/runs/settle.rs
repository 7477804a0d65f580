//! A run's new standing is written, with all that hangs on it.
//!
//! Rule: the update compares state and epoch with what was read. A run that came to its end, or back from a claim,
//! gives up what it holds: workspace, artifact, state lock.

use super::{RunRecord, events, new, row};
use crate::protocol::Timestamp;
use crate::protocol::run::RunState;
use crate::server::queue::{Ending, Event, InvalidTransition, Standing, Topic};
use crate::server::store::state::lock;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// Writes `record`, whose standing was `before` when it was read; returns who has to be woken after the commit.
///
/// # Errors
/// When the database fails or the run has changed since it was read.
pub async fn settle(
    tx: &mut WriteTransaction,
    before: &Standing,
    record: &mut RunRecord,
    now: Timestamp,
) -> Result<Vec<Topic>, StoreError> {
    let after = record.standing;
    let mut topics = vec![Topic::Run(record.id)];
    if after.state.is_final() {
        record.finished_at.get_or_insert(now);
    }
    if after.state == RunState::Queued {
        // What an earlier plan found is not what the next one will find.
        record.plan = None;
        record.artifact_digest = None;
        record.run_directory = None;
    }
    save(tx, before, record).await?;
    if before.state != after.state {
        events::state(tx, record.id, after.state, now).await?;
    }
    if gives_lock_back(before, &after) {
        lock::release_of_run(tx, record.workspace, record.id).await?;
    }
    if before.wish != after.wish
        && let Some(agent) = record.agent
    {
        topics.push(Topic::Agent(agent));
    }
    if matches!(after.state, RunState::Queued | RunState::ApplyQueued) {
        topics.push(Topic::Pool(record.pool));
    }
    if after.state.is_final() {
        topics.extend(vacate(tx, record, now).await?);
    }
    Ok(topics)
}

/// Whether a lock that the run still holds goes with this transition. tofu gives its lock back itself. One that is left
/// belongs to a tofu that died: before the start of an apply nothing can have been changed, and after a complete apply
/// everything is written, so it goes. After an apply that started and did not end well it stays, because the state may
/// lag behind what exists: a person looks, then says `state unlock`, or `run resolve` where the run was lost.
fn gives_lock_back(before: &Standing, after: &Standing) -> bool {
    let held = before.is_claimed() || before.state == RunState::Lost;
    let ended = held && !after.is_claimed() && after.state != RunState::Lost;
    ended && (!before.apply_started() || after.state == RunState::Applied)
}

/// Gives the workspace to its next waiting run, or to nobody, if it was this run's. Who has it is asked of the
/// workspace, not of what the run says that it is.
async fn vacate(tx: &mut WriteTransaction, done: &RunRecord, now: Timestamp) -> Result<Vec<Topic>, StoreError> {
    let freed = sql("UPDATE workspaces SET active_run_id = NULL WHERE id = $1 AND active_run_id = $2")
        .bind(done.workspace.to_string())
        .bind(done.id.to_string())
        .execute(&mut **tx)
        .await
        .during("free a workspace")?;
    if freed.rows_affected() == 0 {
        return Ok(Vec::new());
    }
    let next = sql(row::select!("WHERE r.workspace_id = $1 AND r.state = 'pending' ORDER BY r.sequence LIMIT 1"))
        .bind(done.workspace.to_string())
        .fetch_optional(&mut **tx)
        .await
        .during("find a workspace's next run")?;
    let Some(next) = next else { return Ok(Vec::new()) };
    let mut next = RunRecord::read(&next)?;
    let before = next.standing;
    let Ok(promoted) = before.after(Event::Promote) else { return Ok(Vec::new()) };
    next.standing = promoted;
    save(tx, &before, &next).await?;
    events::state(tx, next.id, promoted.state, now).await?;
    new::occupy(tx, next.workspace, next.id).await?;
    let (run, workspace) = (next.id, next.workspace_name.clone());
    tx.after_commit(move || tracing::info!(%run, workspace, "run queued: its workspace is free"));
    Ok(vec![Topic::Pool(next.pool), Topic::Run(next.id)])
}

/// Writes every column that can change.
async fn save(tx: &mut WriteTransaction, before: &Standing, record: &RunRecord) -> Result<(), StoreError> {
    let standing = &record.standing;
    let plan = record.plan.as_ref().map(serde_json::to_string).transpose();
    let plan = plan.map_err(|source| StoreError::Corrupt { column: "plan", source: Box::new(source) })?;
    let written =
        sql("UPDATE runs SET state = $1, epoch = $2, tries = $3, last_phase = $4, last_step = $5, wish = $6, \
         claim_id = $7, agent_id = $8, lease_deadline = $9, finished_at = $10, plan = $11, artifact_blob_id = $12, \
         artifact_digest = $13, run_directory = $14, approved_by = $15, ending = $16, failure = $17, failure_phase = $18, \
         failure_epoch = $19, backend = $20, credentials_request = $21, credentials_epoch = $22, approval = $23 \
         WHERE id = $24 AND state = $25 AND epoch = $26")
        .bind(standing.state.word())
        .bind(standing.epoch)
        .bind(i64::from(standing.tries))
        .bind(standing.last_step.map(|(phase, _)| phase.word()))
        .bind(standing.last_step.map(|(_, step)| step.word()))
        .bind(standing.wish.word())
        .bind(record.claim.map(|id| id.to_string()))
        .bind(record.agent.map(|id| id.to_string()))
        .bind(record.lease_deadline)
        .bind(record.finished_at)
        .bind(plan)
        .bind(standing.artifact.map(|id| id.to_string()))
        .bind(record.artifact_digest.clone())
        .bind(record.run_directory.clone())
        .bind(record.approved_by.clone())
        .bind(standing.ending.map(Ending::word))
        .bind(record.failure.as_ref().map(|failure| failure.sealed.clone()))
        .bind(record.failure.as_ref().map(|failure| failure.phase.word()))
        .bind(record.failure.as_ref().map(|failure| failure.epoch))
        .bind(record.backend.clone())
        .bind(record.credentials_request.map(|(request, _)| request.to_string()))
        .bind(record.credentials_request.map(|(_, epoch)| epoch))
        .bind(record.approval.clone())
        .bind(record.id.to_string())
        .bind(before.state.word())
        .bind(before.epoch)
        .execute(&mut **tx)
        .await
        .during("write a run")?;
    if written.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Changed { what: "run" }) }
}

/// Lets `event` happen to the run and writes what follows.
///
/// # Errors
/// When the database fails; the inner error when the run does not allow it, then nothing is written.
pub async fn happen(
    tx: &mut WriteTransaction,
    record: &mut RunRecord,
    event: Event,
    now: Timestamp,
) -> Result<Result<Vec<Topic>, InvalidTransition>, StoreError> {
    let before = record.standing;
    match before.after(event) {
        Ok(after) => {
            record.standing = after;
            settle(tx, &before, record, now).await.map(Ok)
        }
        Err(refusal) => Ok(Err(refusal)),
    }
}
