//! What the server wants of the agent besides runs: cancels, kills, drain.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::orders::{Order, Orders};
use super::session::Session;
use crate::client::retry;
use crate::protocol::id::RunId;

/// The runs that are under way, so that they can be told something. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<RunId, Orders>>>);

/// A run is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct Entry {
    running: Running,
    run: RunId,
}

impl Running {
    fn map(&self) -> MutexGuard<'_, HashMap<RunId, Orders>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn enter(&self, run: RunId, orders: &Orders) -> Entry {
        self.map().insert(run, orders.clone());
        Entry { running: self.clone(), run }
    }

    pub(crate) fn tell_all(&self, order: Order) {
        self.map().values().for_each(|orders| orders.raise(order));
    }

    fn tell(&self, runs: &[RunId], order: Order) {
        let map = self.map();
        runs.iter().filter_map(|run| map.get(run)).for_each(|orders| orders.raise(order));
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.map().remove(&self.run);
    }
}

/// Follows the server's wishes for ever.
pub(crate) async fn follow(session: &Session, running: &Running, drain: &CancellationToken) {
    let mut backoff = retry::Backoff::new();
    let mut after = 0;
    loop {
        match session.persist(session.hold * 3, || session.client.watch(after, session.hold)).await {
            Ok(answer) => {
                backoff.reset();
                after = answer.next;
                running.tell(&answer.cancel, Order::Cancel);
                running.tell(&answer.kill, Order::Kill);
                if answer.drain && !drain.is_cancelled() {
                    let name = session.name();
                    tracing::info!(
                        "the server asks to drain: this agent takes nothing new and ends; to have it back: `nigari agent \
                         resume {name}`, then start it again"
                    );
                    drain.cancel();
                }
            }
            Err(error) => {
                let pause = backoff.next_pause(error.retry_after());
                tracing::debug!(%error, "no word from the server");
                tokio::time::sleep(pause).await;
            }
        }
    }
}
