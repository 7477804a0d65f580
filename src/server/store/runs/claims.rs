//! Claiming a phase, giving it back, keeping it, losing it.
//!
//! Rule: the epoch rises in the transaction that grants the claim, and a claim's id is granted once.

use sqlx::AnyConnection;

use super::{RunRecord, load, row, settle};
use crate::protocol::Timestamp;
use crate::protocol::id::{AgentId, ClaimId, PoolId, RunId};
use crate::protocol::run::Phase;
use crate::server::queue::{Event, LeaseTerms, Topic, Verdict};
use crate::server::store::agents;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// What an agent ($2) is offered of its pool ($1) now ($3). A plan that is kept can be applied only at the path where it
/// was made, so an apply goes only to who has that path. What an agent gave back it is not offered again for a minute,
/// and for one more each further time: it could not do it, another may.
macro_rules! offered {
    () => {
        "w.pool_id = $1 AND r.state IN ('queued', 'apply_queued') \
         AND (r.state = 'queued' OR r.artifact_blob_id IS NULL OR r.run_directory IS NULL OR r.run_directory = \
         (SELECT rtrim(o.run_root, '/') || '/' || r.id FROM agents o WHERE o.id = $2)) \
         AND NOT EXISTS (SELECT 1 FROM claims c WHERE c.run_id = r.id AND c.agent_id = $2 AND c.released_at > \
         $3 - 60000000 * (SELECT COUNT(*) FROM claims b WHERE b.run_id = r.id AND b.agent_id = $2 \
         AND b.released_at IS NOT NULL))"
    };
}

/// Who asks for a phase, and when.
#[derive(Debug, Clone, Copy)]
pub struct Claimant {
    /// The agent.
    pub agent: AgentId,
    /// Its pool: it gets runs of no other.
    pub pool: PoolId,
    /// The claim's id, made by the agent.
    pub claim: ClaimId,
    /// When the server received the request.
    pub now: Timestamp,
    /// How long leases last.
    pub terms: LeaseTerms,
}

/// What a claim's request leads to.
#[derive(Debug)]
pub enum Taken {
    /// A phase, with whom to wake.
    Phase(Box<RunRecord>, Vec<Topic>),
    /// The same phase again: the claim's id was repeated.
    Again(Box<RunRecord>),
    /// There is none now.
    Nothing,
    /// The id was granted to another agent, or what it was granted for is over.
    Refused,
}

/// What was granted under a claim's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// The run.
    pub run: RunId,
    /// The epoch.
    pub epoch: i64,
    /// To whom.
    pub agent: AgentId,
}

/// Whether there is something to claim in the pool, or the id was granted already: a look that writes nothing.
///
/// # Errors
/// When the database fails.
pub async fn worth_trying(connection: &mut AnyConnection, claimant: &Claimant) -> Result<bool, StoreError> {
    sql(concat!(
        "SELECT 1 AS one FROM runs r JOIN workspaces w ON w.id = r.workspace_id WHERE ",
        offered!(),
        " UNION ALL SELECT 1 AS one FROM claims WHERE id = $4 LIMIT 1"
    ))
    .bind(claimant.pool.to_string())
    .bind(claimant.agent.to_string())
    .bind(claimant.now)
    .bind(claimant.claim.to_string())
    .fetch_optional(connection)
    .await
    .during("look for a phase to claim")
    .map(|row| row.is_some())
}

/// Takes the oldest phase of the pool; approved applies first, because a person waits for them.
///
/// # Errors
/// When the database fails.
pub async fn take(tx: &mut WriteTransaction, claimant: &Claimant) -> Result<Taken, StoreError> {
    if let Some(grant) = granted(&mut *tx, claimant.claim).await? {
        return repeated(tx, claimant, grant).await;
    }
    let row = sql(row::select!(
        "WHERE ",
        offered!(),
        " ORDER BY CASE r.state WHEN 'apply_queued' THEN 0 ELSE 1 END, r.sequence LIMIT 1"
    ))
    .bind(claimant.pool.to_string())
    .bind(claimant.agent.to_string())
    .bind(claimant.now)
    .fetch_optional(&mut **tx)
    .await
    .during("find a phase to claim")?;
    let Some(row) = row else { return Ok(Taken::Nothing) };
    let mut record = RunRecord::read(&row)?;
    let before = record.standing;
    let Ok(after) = before.after(Event::Claim) else { return Ok(Taken::Nothing) };
    record.standing = after;
    record.claim = Some(claimant.claim);
    record.agent = Some(claimant.agent);
    record.agent_name = agents::get(&mut *tx, claimant.agent).await?.map(|agent| agent.name);
    record.lease_deadline = Some(claimant.terms.deadline(claimant.now));
    let topics = settle::settle(tx, &before, &mut record, claimant.now).await?;
    write(tx, claimant, &record).await?;
    Ok(Taken::Phase(Box::new(record), topics))
}

async fn write(tx: &mut WriteTransaction, claimant: &Claimant, record: &RunRecord) -> Result<(), StoreError> {
    sql("INSERT INTO claims (id, run_id, epoch, phase, agent_id, claimed_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(claimant.claim.to_string())
        .bind(record.id.to_string())
        .bind(record.standing.epoch)
        .bind(record.standing.phase().unwrap_or(Phase::Plan).word())
        .bind(claimant.agent.to_string())
        .bind(claimant.now)
        .execute(&mut **tx)
        .await
        .during("write a claim")
        .map(drop)
}

async fn repeated(tx: &mut WriteTransaction, claimant: &Claimant, grant: Grant) -> Result<Taken, StoreError> {
    let Some(mut record) = load(&mut *tx, grant.run).await? else { return Ok(Taken::Refused) };
    let alive = record.standing.is_claimed() && record.is_held_by(claimant.agent, grant.epoch);
    if grant.agent != claimant.agent || !alive {
        return Ok(Taken::Refused);
    }
    // The answer tells the agent that it has L from now on.
    renew(tx, &mut record, claimant.now, claimant.terms).await?;
    Ok(Taken::Again(Box::new(record)))
}

/// Takes back a claim that was granted in this transaction, as if its id had never been used.
///
/// # Errors
/// When the database fails.
pub async fn withdraw(tx: &mut WriteTransaction, claim: ClaimId) -> Result<(), StoreError> {
    sql("DELETE FROM claims WHERE id = $1")
        .bind(claim.to_string())
        .execute(&mut **tx)
        .await
        .during("take a claim back")
        .map(drop)
}

/// What was granted under the id.
///
/// # Errors
/// When the database fails.
pub async fn granted(connection: &mut AnyConnection, claim: ClaimId) -> Result<Option<Grant>, StoreError> {
    let row = sql("SELECT run_id, epoch, agent_id FROM claims WHERE id = $1")
        .bind(claim.to_string())
        .fetch_optional(connection)
        .await
        .during("read a claim")?;
    row.map(|row| Ok(Grant { run: row.parsed("run_id")?, epoch: row.value("epoch")?, agent: row.parsed("agent_id")? }))
        .transpose()
}

/// Whether the agent had this epoch of the run, be it long ago.
///
/// # Errors
/// When the database fails.
pub async fn had(connection: &mut AnyConnection, run: RunId, agent: AgentId, epoch: i64) -> Result<bool, StoreError> {
    sql("SELECT 1 AS one FROM claims WHERE run_id = $1 AND epoch = $2 AND agent_id = $3")
        .bind(run.to_string())
        .bind(epoch)
        .bind(agent.to_string())
        .fetch_optional(connection)
        .await
        .during("read who had a claim")
        .map(|row| row.is_some())
}

/// Whether the agent had the run at all.
///
/// # Errors
/// When the database fails.
pub async fn had_any(connection: &mut AnyConnection, run: RunId, agent: AgentId) -> Result<bool, StoreError> {
    sql("SELECT 1 AS one FROM claims WHERE run_id = $1 AND agent_id = $2 LIMIT 1")
        .bind(run.to_string())
        .bind(agent.to_string())
        .fetch_optional(connection)
        .await
        .during("read who had a run")
        .map(|row| row.is_some())
}

/// Sets the lease to its full time from `now`.
///
/// # Errors
/// When the database fails.
pub async fn renew(
    tx: &mut WriteTransaction,
    record: &mut RunRecord,
    now: Timestamp,
    terms: LeaseTerms,
) -> Result<(), StoreError> {
    record.lease_deadline = Some(terms.deadline(now));
    sql("UPDATE runs SET lease_deadline = $1 WHERE id = $2 AND epoch = $3")
        .bind(terms.deadline(now))
        .bind(record.id.to_string())
        .bind(record.standing.epoch)
        .execute(&mut **tx)
        .await
        .during("renew a lease")
        .map(drop)
}

/// Runs whose lease is over at `now`: candidates, to be judged again in a transaction.
///
/// # Errors
/// When the database fails.
pub async fn overdue(connection: &mut AnyConnection, now: Timestamp) -> Result<Vec<RunId>, StoreError> {
    sql("SELECT id FROM runs WHERE state IN ('planning', 'applying') AND lease_deadline <= $1 ORDER BY sequence")
        .bind(now)
        .fetch_all(connection)
        .await
        .during("look for leases that are over")?
        .iter()
        .map(|row| row.parsed("id"))
        .collect()
}

/// Whether any lease is held at all.
///
/// # Errors
/// When the database fails.
pub async fn any(connection: &mut AnyConnection) -> Result<bool, StoreError> {
    sql("SELECT 1 AS one FROM runs WHERE state IN ('planning', 'applying') LIMIT 1")
        .fetch_optional(connection)
        .await
        .during("look for leases")
        .map(|row| row.is_some())
}

/// Lets the run lapse if its lease is over at `now`; returns it with whom to wake.
///
/// # Errors
/// When the database fails.
pub async fn lapse(
    tx: &mut WriteTransaction,
    run: RunId,
    now: Timestamp,
) -> Result<Option<(RunRecord, Vec<Topic>)>, StoreError> {
    let Some(mut record) = load(&mut *tx, run).await? else { return Ok(None) };
    let over = record.lease_deadline.is_some_and(|deadline| LeaseTerms::judge(deadline, now) == Verdict::Over);
    if !over || !record.standing.is_claimed() {
        return Ok(None);
    }
    let topics = give_up(tx, &mut record, now).await?;
    Ok(Some((record, topics)))
}

/// The claim ended without a report of the phase's end.
///
/// # Errors
/// When the database fails or the run is not claimed.
pub async fn give_up(
    tx: &mut WriteTransaction,
    record: &mut RunRecord,
    now: Timestamp,
) -> Result<Vec<Topic>, StoreError> {
    let before = record.standing;
    let Ok(after) = before.after(Event::Lapse) else { return Err(StoreError::Changed { what: "run" }) };
    record.standing = after;
    settle::settle(tx, &before, record, now).await
}

/// Gives every lease that stood at `since` its full time again: no agent could renew from then on, because no server
/// was there. One that was over by then is over.
///
/// # Errors
/// When the database fails.
pub async fn spare_all(
    tx: &mut WriteTransaction,
    since: Timestamp,
    now: Timestamp,
    terms: LeaseTerms,
) -> Result<u64, StoreError> {
    sql("UPDATE runs SET lease_deadline = $1 WHERE state IN ('planning', 'applying') AND lease_deadline < $1 \
         AND lease_deadline > $2")
    .bind(terms.deadline(now))
    .bind(since)
    .execute(&mut **tx)
    .await
    .during("spare leases after an absence")
    .map(|done| done.rows_affected())
}

/// The phase for which an epoch was granted.
///
/// # Errors
/// When the database fails.
pub async fn phase(connection: &mut AnyConnection, run: RunId, epoch: i64) -> Result<Option<Phase>, StoreError> {
    sql("SELECT phase FROM claims WHERE run_id = $1 AND epoch = $2")
        .bind(run.to_string())
        .bind(epoch)
        .fetch_optional(connection)
        .await
        .during("read a claim's phase")?
        .map(|row| row.parsed("phase"))
        .transpose()
}

/// Writes down that a claim was given back.
///
/// # Errors
/// When the database fails.
pub async fn note_release(tx: &mut WriteTransaction, claim: ClaimId, now: Timestamp) -> Result<(), StoreError> {
    sql("UPDATE claims SET released_at = $1 WHERE id = $2")
        .bind(now)
        .bind(claim.to_string())
        .execute(&mut **tx)
        .await
        .during("write down that a claim was given back")
        .map(drop)
}
