//! Leases that are over.
//!
//! Rule: judged by the time that all replicas share, never by this host's. When anybody last looked stands in the
//! database, so that a replica that begins knows whether agents had somebody to renew with meanwhile.

use std::time::Duration;

use crate::protocol::Timestamp;
use crate::protocol::id::RunId;
use crate::server::api::ServerState;
use crate::server::api::problem::chain;
use crate::server::audit::{self, Actor, Particulars};
use crate::server::queue::LeaseTerms;
use crate::server::store::runs::claims;
use crate::server::store::{StoreError, facts};

/// Between two looks of one replica.
pub(super) const LEASES_EVERY: Duration = Duration::from_secs(3);
/// The fact: when a replica last looked while there was a lease.
const LOOKED: &str = "leases_looked_at";

/// One look; gives when it was. Leases that no server was there to renew get their full time again, the others that are
/// over lapse. `own` is when this replica looked last, or 0: what it knows itself costs no commit while there is no lease.
///
/// # Errors
/// When the database fails.
pub async fn look(state: &ServerState, own: Timestamp) -> Result<Timestamp, StoreError> {
    let (last, now) = {
        let mut connection = state.store.read().await?;
        let now = state.lease_time(&mut connection).await?;
        if !claims::any(&mut connection).await? {
            return Ok(now);
        }
        (read(facts::get(&mut connection, LOOKED).await?), now)
    };
    let seen = not_after(last, now).max(not_after(own, now));
    if LeaseTerms::was_away(seen, now, LEASES_EVERY) {
        spare(state).await?;
        return Ok(now);
    }
    // Another replica may just have written it down.
    if now.saturating_sub(last) > i64::try_from(LEASES_EVERY.as_micros() / 2).unwrap_or(i64::MAX) {
        let mut transaction = state.store.begin_write().await?;
        facts::put(&mut transaction, LOOKED, &now.to_be_bytes()).await?;
        transaction.commit().await?;
    }
    lapse_overdue(state).await?;
    Ok(now)
}

/// Judged again in the transaction: another replica may have come first.
async fn spare(state: &ServerState) -> Result<(), StoreError> {
    let mut transaction = state.store.begin_write().await?;
    let last = read(facts::get(&mut transaction, LOOKED).await?);
    let now = state.lease_time(&mut transaction).await?;
    let last = not_after(last, now);
    if !LeaseTerms::was_away(last, now, LEASES_EVERY) {
        return Ok(());
    }
    let spared = claims::spare_all(&mut transaction, last, now, state.lease_terms()).await?;
    facts::put(&mut transaction, LOOKED, &now.to_be_bytes()).await?;
    transaction.commit().await?;
    if spared > 0 {
        tracing::warn!(
            spared,
            "no server was there for a while; leases that stood until then get their full time again"
        );
    }
    Ok(())
}

/// A look in the future is none: the clock was set back since, or the database is now on a host whose clock is behind.
fn not_after(looked: Timestamp, now: Timestamp) -> Timestamp {
    if looked > now { 0 } else { looked }
}

/// Never: so long ago that no lease was over by then.
fn read(fact: Option<Vec<u8>>) -> Timestamp {
    fact.and_then(|bytes| bytes.try_into().ok()).map_or(0, i64::from_be_bytes)
}

/// Lets every run lapse whose lease is over now: queued again, quarantined, canceled or lost. Returns them. One that
/// cannot is told of, and the others lapse all the same.
///
/// # Errors
/// When the database cannot say which.
pub async fn lapse_overdue(state: &ServerState) -> Result<Vec<RunId>, StoreError> {
    let candidates = {
        let mut connection = state.store.read().await?;
        let now = state.lease_time(&mut connection).await?;
        claims::overdue(&mut connection, now).await?
    };
    let mut lapsed = Vec::new();
    for run in candidates {
        match lapse(state, run).await {
            Ok(true) => lapsed.push(run),
            Ok(false) => {}
            Err(error) => tracing::error!(%run, error = %chain(&error), "a lease that is over could not lapse"),
        }
    }
    Ok(lapsed)
}

/// Says whether it did.
async fn lapse(state: &ServerState, run: RunId) -> Result<bool, StoreError> {
    let mut transaction = state.store.begin_write().await?;
    let now = state.lease_time(&mut transaction).await?;
    let lapsed = claims::lapse(&mut transaction, run, now).await?;
    let Some((record, topics)) = lapsed else { return Ok(false) };
    let (became, epoch) = (record.standing.state, record.standing.epoch);
    let particulars = Particulars::RunLapse { epoch, state: became };
    audit::record(&mut transaction, now, &Actor::Server, &run, &particulars).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    let (workspace, agent) = (record.workspace_name, record.agent_name.unwrap_or_default());
    let reason = "the agent was not heard of for a whole lease";
    tracing::warn!(%run, workspace, agent, epoch, state = %became, reason, "lease lapsed");
    Ok(true)
}
