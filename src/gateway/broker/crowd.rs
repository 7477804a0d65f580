//! How many connections there may be at a time: of those that have shown the nonce, and of those that have not.
//!
//! Rule: whoever has not shown it takes nothing from who has. A stranger has little time, and the one that has been
//! there longest goes when there are too many; so a step's own connection, which shows the nonce at once, comes through.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// How long a connection may take to show the nonce, all its tries together.
const KNOCK: Duration = Duration::from_secs(15);
/// Connections that have not shown it.
const STRANGERS: usize = 64;
/// Connections of the step at the same time; more wait.
const PLACES: usize = 256;
/// Those that wait; more are turned away.
const WAITING: usize = 256;

/// The place of a connection that has shown the nonce.
pub(super) type Place = OwnedSemaphorePermit;

/// Everybody.
#[derive(Debug)]
pub(super) struct Crowd {
    places: Arc<Semaphore>,
    waiting: Semaphore,
    strangers: Mutex<Strangers>,
}

#[derive(Debug, Default)]
struct Strangers {
    number: u64,
    /// In the order in which they came.
    here: BTreeMap<u64, CancellationToken>,
}

/// A connection that has not shown the nonce, or not yet.
#[derive(Debug)]
pub(super) struct Stranger {
    crowd: Arc<Crowd>,
    number: u64,
    wanted: CancellationToken,
}

impl Crowd {
    pub(super) fn new() -> Arc<Self> {
        Self::with(PLACES, WAITING)
    }

    fn with(places: usize, waiting: usize) -> Arc<Self> {
        let places = Arc::new(Semaphore::new(places));
        Arc::new(Self { places, waiting: Semaphore::new(waiting), strangers: Mutex::default() })
    }

    /// A connection was made.
    pub(super) fn enter(self: &Arc<Self>) -> Stranger {
        let wanted = CancellationToken::new();
        let mut strangers = self.strangers();
        strangers.number += 1;
        let number = strangers.number;
        strangers.here.insert(number, wanted.clone());
        if strangers.here.len() > STRANGERS
            && let Some((_, oldest)) = strangers.here.pop_first()
        {
            oldest.cancel();
        }
        drop(strangers);
        Stranger { crowd: Arc::clone(self), number, wanted }
    }

    fn strangers(&self) -> MutexGuard<'_, Strangers> {
        self.strangers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stranger {
    /// It has shown the nonce: a place, as soon as there is one; `None` when too many wait for that.
    pub(super) async fn take_place(&self) -> Option<Place> {
        self.crowd.strangers().here.remove(&self.number);
        let _waiting = self.crowd.waiting.try_acquire().ok()?;
        Arc::clone(&self.crowd.places).acquire_owned().await.ok()
    }

    /// Comes back when it has to go; never once it has shown the nonce.
    pub(super) async fn must_go(&self) {
        let is_late = tokio::time::timeout(KNOCK, self.wanted.cancelled()).await.is_err();
        if is_late && !self.crowd.strangers().here.contains_key(&self.number) {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.crowd.strangers().here.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::{Crowd, KNOCK, STRANGERS};

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_little_time_and_who_is_known_has_all_of_it() {
        let crowd = Crowd::with(1, 1);
        let (stranger, known) = (crowd.enter(), crowd.enter());
        let _place = known.take_place().await.unwrap();
        stranger.must_go().await;
        assert!(tokio::time::timeout(KNOCK * 100, known.must_go()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_stranger_goes_when_there_are_too_many() {
        let crowd = Crowd::with(1, 1);
        let known = crowd.enter();
        let _place = known.take_place().await.unwrap();
        let strangers: Vec<_> = (0..STRANGERS).map(|_| crowd.enter()).collect();
        let goes = |at: usize| strangers[at].must_go().now_or_never().is_some();
        assert!(!goes(0));
        let _more = (crowd.enter(), crowd.enter());
        assert!(goes(0) && goes(1) && !goes(2) && known.must_go().now_or_never().is_none());
        assert_eq!(crowd.strangers().here.len(), STRANGERS);
        drop(strangers);
        assert_eq!(crowd.strangers().here.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_known_waits_for_a_place_and_too_many_are_turned_away() {
        let crowd = Crowd::with(1, 1);
        let [one, two, three] = [crowd.enter(), crowd.enter(), crowd.enter()];
        let first = one.take_place().await.unwrap();
        let waits = two.take_place();
        tokio::pin!(waits);
        assert!((&mut waits).now_or_never().is_none());
        assert!(three.take_place().await.is_none());
        drop(first);
        let place = tokio::time::timeout(Duration::from_secs(1), waits).await.unwrap();
        assert!(place.is_some());
    }
}
