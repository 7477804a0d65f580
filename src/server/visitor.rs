//! A connection's caller: unknown until a request of theirs has shown a token that works.
//!
//! Rule: whoever is unknown gets little: one of few places, a short time, a small head. A place is given back when the
//! caller becomes known or the connection ends, so that half-open connections cannot pile up, and cannot keep out those
//! who are known already.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedSemaphorePermit;

/// Shared by a connection and the requests that come over it.
#[derive(Debug, Clone)]
pub(crate) struct Visitor(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// The place among the unknown; none once known.
    place: Mutex<Option<OwnedSemaphorePermit>>,
    /// Requests whose answer is not made yet.
    requests: AtomicUsize,
}

/// A request under way; over when dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Inner>);

impl Visitor {
    /// Somebody unknown, who takes this place.
    pub(crate) fn unknown(place: OwnedSemaphorePermit) -> Self {
        Self(Arc::new(Inner { place: Mutex::new(Some(place)), requests: AtomicUsize::new(0) }))
    }

    /// A token of theirs was recognised.
    pub(crate) fn is_known_now(&self) {
        self.place().take();
    }

    /// Whether a token of theirs was recognised.
    pub(crate) fn is_known(&self) -> bool {
        self.place().is_none()
    }

    /// A request of theirs begins.
    pub(crate) fn begin(&self) -> UnderWay {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        UnderWay(Arc::clone(&self.0))
    }

    /// Whether no request of theirs is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.requests.load(Ordering::Relaxed) == 0
    }

    fn place(&self) -> std::sync::MutexGuard<'_, Option<OwnedSemaphorePermit>> {
        // Nothing that could panic is done under the lock.
        self.0.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.requests.fetch_sub(1, Ordering::Relaxed);
    }
}
