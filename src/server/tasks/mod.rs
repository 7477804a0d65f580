//! What the server does by itself: leases that are over, blobs that nothing refers to, hints of other replicas.
//!
//! Rule: a task that fails is tried again at its next turn; none ends the server. Each may run in several replicas at
//! the same time: what it finds it judges again in its transaction.

mod hints;
mod leases;
mod sweep;

pub use leases::{lapse_overdue, spare_all};
pub use sweep::sweep_blobs;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::api::ServerState;
use super::queue::LeaseTerms;

/// Between two looks for leases that are over.
const LEASES_EVERY: Duration = Duration::from_secs(3);
/// Between two sweeps of blobs.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// All of them, until the server ends.
pub async fn run(state: ServerState) {
    tokio::join!(watch_leases(&state), watch_blobs(&state), hints::pass_on(&state));
}

/// Before the first request: nobody could renew while the server was down.
pub async fn begin(state: &ServerState) {
    spare(state).await;
}

async fn watch_leases(state: &ServerState) {
    let mut last = state.clock.now();
    let mut every = interval(LEASES_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        let now = state.clock.now();
        if LeaseTerms::was_away(last, now, LEASES_EVERY) {
            tracing::warn!("the server was away; every lease gets its full time again");
            spare(state).await;
        } else if let Err(error) = lapse_overdue(state).await {
            tracing::error!(error = %super::api::problem::chain(&error), "cannot look for leases that are over");
        }
        last = now;
    }
}

async fn spare(state: &ServerState) {
    if let Err(error) = spare_all(state).await {
        tracing::error!(error = %super::api::problem::chain(&error), "cannot spare the leases");
    }
}

async fn watch_blobs(state: &ServerState) {
    let mut every = interval(SWEEP_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        if let Err(error) = sweep_blobs(state).await {
            tracing::error!(error = %super::api::problem::chain(&error), "cannot sweep blobs");
        }
    }
}
