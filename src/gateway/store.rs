//! Where the door leads: the state routes of one run at the server.

use std::future::Future;

use bytes::Bytes;

use crate::protocol::api::StateLock;

/// Why the server did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds the lock.
    #[error("the state is locked by {} ({})", .0.who, .0.id)]
    Locked(Box<StateLock>),
    /// No answer, or one that a repeat may better (5xx, 429).
    #[error("the server could not be reached or has a fault: {0}")]
    Away(String),
    /// The server said no.
    #[error("the server refused: {0}")]
    Refused(String),
}

/// The state of one run. Every call may be repeated: locking twice with one id is one lock.
pub trait StateStore: Send + Sync + 'static {
    /// The current state; `None` when there is none yet.
    fn read(&self) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
    /// A new version, under the lock of that id.
    fn write(&self, lock: Option<&str>, state: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Takes the lock.
    fn lock(&self, lock: &StateLock) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Gives it back.
    fn unlock(&self, lock: &StateLock) -> impl Future<Output = Result<(), StoreError>> + Send;
}
