//! Leases that are over.

use crate::protocol::id::RunId;
use crate::server::api::ServerState;
use crate::server::store::StoreError;
use crate::server::store::runs::claims;

/// Lets every run lapse whose lease is over now: queued again, quarantined, canceled or lost. Returns them.
///
/// # Errors
/// When the database fails; what lapsed before stays so.
pub async fn lapse_overdue(state: &ServerState) -> Result<Vec<RunId>, StoreError> {
    let candidates = claims::overdue(&mut *state.store.read().await?, state.clock.now()).await?;
    let mut lapsed = Vec::new();
    for run in candidates {
        let mut transaction = state.store.begin_write().await?;
        let Some((record, topics)) = claims::lapse(&mut transaction, run, state.clock.now()).await? else { continue };
        state.wake.commit(&state.store, transaction, &topics).await?;
        let (became, epoch) = (record.standing.state, record.standing.epoch);
        let (workspace, agent) = (record.workspace_name, record.agent_name.unwrap_or_default());
        let reason = "the agent was not heard of for a whole lease";
        tracing::warn!(%run, workspace, agent, epoch, state = %became, reason, "lease lapsed");
        lapsed.push(run);
    }
    Ok(lapsed)
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
