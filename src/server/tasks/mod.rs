//! What the server does by itself: leases that are over, blobs that nothing refers to, hints of other replicas.
//!
//! Rule: a task that fails is tried again at its next turn; none ends the server. Each may run in several replicas at
//! the same time: what it finds it judges again in its transaction.

mod hints;
mod leases;
mod sweep;

pub use leases::{lapse_overdue, look};
pub use sweep::sweep_blobs;

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use super::api::ServerState;
use crate::protocol::Timestamp;

/// Between two sweeps of blobs.
const SWEEP_EVERY: Duration = Duration::from_mins(10);

/// All of them, until the server ends. `looked` is what [`begin`] gave.
pub async fn run(state: ServerState, looked: Timestamp) {
    tokio::join!(watch_leases(&state, looked), watch_blobs(&state), hints::pass_on(&state));
}

/// Before the first request: where no server was there, nobody could renew. Gives when it looked.
pub async fn begin(state: &ServerState) -> Timestamp {
    look_at_leases(state, 0).await
}

async fn watch_leases(state: &ServerState, mut looked: Timestamp) {
    let mut every = interval(leases::LEASES_EVERY);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            _ = every.tick() => {}
        }
        looked = look_at_leases(state, looked).await;
    }
}

async fn look_at_leases(state: &ServerState, looked: Timestamp) -> Timestamp {
    look(state, looked).await.unwrap_or_else(|error| {
        tracing::error!(error = %super::api::problem::chain(&error), "cannot look for leases that are over");
        looked
    })
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
