//! Leases that are over.

use crate::protocol::id::RunId;
use crate::server::api::ServerState;
use crate::server::api::problem::chain;
use crate::server::store::StoreError;
use crate::server::store::runs::claims;

/// Lets every run lapse whose lease is over now: queued again, quarantined, canceled or lost. Returns them. One that
/// cannot is told of, and the others lapse all the same.
///
/// # Errors
/// When the database cannot say which.
pub async fn lapse_overdue(state: &ServerState) -> Result<Vec<RunId>, StoreError> {
    let candidates = claims::overdue(&mut *state.store.read().await?, state.clock.now()).await?;
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
    let lapsed = claims::lapse(&mut transaction, run, state.clock.now()).await?;
    let Some((record, topics)) = lapsed else { return Ok(false) };
    state.wake.commit(&state.store, transaction, &topics).await?;
    let (became, epoch) = (record.standing.state, record.standing.epoch);
    let (workspace, agent) = (record.workspace_name, record.agent_name.unwrap_or_default());
    let reason = "the agent was not heard of for a whole lease";
    tracing::warn!(%run, workspace, agent, epoch, state = %became, reason, "lease lapsed");
    Ok(true)
}

/// Gives every lease its full time again, from now.
///
/// # Errors
/// When the database fails.
pub async fn spare_all(state: &ServerState) -> Result<(), StoreError> {
    let mut transaction = state.store.begin_write().await?;
    let spared = claims::spare_all(&mut transaction, state.clock.now(), state.lease_terms()).await?;
    if spared > 0 {
        transaction.commit().await?;
    }
    Ok(())
}
