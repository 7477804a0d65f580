//! Long polls: who waits for a topic is woken when something may have happened to it.
//!
//! Rule: first take a [`Waiter`], then look into the database, then wait. Waking is a hint: a waiter looks again after
//! [`RESCAN`] in any case, because another replica's hint may have been lost.

mod commit;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use crate::server::queue::Topic;

/// How long a waiter relies on hints.
pub const RESCAN: Duration = Duration::from_secs(8);

/// All waiters of this process.
#[derive(Debug, Clone, Default)]
pub struct Wake {
    bells: Arc<Mutex<HashMap<Topic, Arc<Bell>>>>,
}

#[derive(Debug, Default)]
struct Bell {
    /// For pools: one phase is for one agent, so one waiter is woken.
    one: Notify,
    /// For everything else.
    all: watch::Sender<u64>,
}

impl Wake {
    /// Nobody waits yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Wakes one waiter of a pool, or all of another topic. From now on counts for waiters that were taken before.
    pub fn wake(&self, topic: Topic) {
        let bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(bell) = bells.get(&topic) else { return };
        if matches!(topic, Topic::Pool(_)) {
            bell.one.notify_one();
        } else {
            bell.all.send_modify(|count| *count += 1);
        }
    }

    /// A waiter that hears everything from now on.
    pub fn waiter(&self, topic: Topic) -> Waiter {
        let mut bells = self.bells.lock().unwrap_or_else(PoisonError::into_inner);
        let bell = Arc::clone(bells.entry(topic).or_default());
        let all = bell.all.subscribe();
        Waiter { wake: self.clone(), topic, bell, all }
    }

    /// How many topics are waited for.
    pub fn topics(&self) -> usize {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Waits for one topic; forgotten when dropped.
#[derive(Debug)]
pub struct Waiter {
    wake: Wake,
    topic: Topic,
    bell: Arc<Bell>,
    all: watch::Receiver<u64>,
}

impl Waiter {
    /// Waits for a hint, at most `limit` and at most [`RESCAN`].
    pub async fn wait(&mut self, limit: Duration) {
        let limit = limit.min(RESCAN);
        // Over time or a closed channel mean the same as a hint: look again.
        if matches!(self.topic, Topic::Pool(_)) {
            let _ = tokio::time::timeout(limit, self.bell.one.notified()).await;
        } else {
            let _ = tokio::time::timeout(limit, self.all.changed()).await;
        }
    }

    /// Hands a hint on that this waiter got but cannot use up: one hint must not be lost with one agent.
    pub fn pass_on(&self) {
        self.wake.wake(self.topic);
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        let mut bells = self.wake.bells.lock().unwrap_or_else(PoisonError::into_inner);
        // This waiter and the map: nobody else.
        if Arc::strong_count(&self.bell) == 2 {
            bells.remove(&self.topic);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Wake;
    use crate::protocol::id::{PoolId, RunId};
    use crate::server::queue::Topic;

    const LONG: Duration = Duration::from_secs(5);

    #[tokio::test(start_paused = true)]
    async fn a_hint_between_look_and_wait_is_not_lost() {
        let wake = Wake::new();
        for topic in [Topic::Pool(PoolId::generate()), Topic::Run(RunId::generate())] {
            let mut waiter = wake.waiter(topic);
            wake.wake(topic);
            let before = tokio::time::Instant::now();
            waiter.wait(LONG).await;
            assert_eq!(before.elapsed(), Duration::ZERO, "{topic}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_phase_wakes_one_agent_and_an_event_all_readers() {
        let wake = Wake::new();
        for (topic, woken) in [(Topic::Pool(PoolId::generate()), 1), (Topic::Run(RunId::generate()), 3)] {
            let waiting: Vec<_> = (0..3)
                .map(|_| {
                    let mut waiter = wake.waiter(topic);
                    tokio::spawn(async move {
                        let before = tokio::time::Instant::now();
                        waiter.wait(LONG).await;
                        before.elapsed() < LONG
                    })
                })
                .collect();
            tokio::task::yield_now().await;
            wake.wake(topic);
            let mut early = 0;
            for waiter in waiting {
                early += usize::from(waiter.await.unwrap());
            }
            assert_eq!(early, woken, "{topic}");
        }
    }

    #[tokio::test]
    async fn forgotten_waiters_leave_nothing() {
        let wake = Wake::new();
        let topic = Topic::Run(RunId::generate());
        let (first, second) = (wake.waiter(topic), wake.waiter(topic));
        assert_eq!(wake.topics(), 1);
        drop(first);
        drop(second);
        assert_eq!(wake.topics(), 0);
    }
}
