//! Where the door leads: the state routes of one run at the server.

use std::future::Future;

use bytes::Bytes;

use crate::client::{ClientError, ErrorKind, LeasedRun, StateAnswer};

/// Why the server did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds the lock: the holder's lock, as tofu's JSON.
    #[error("the state is locked")]
    Locked(Bytes),
    /// No answer, or one that a repeat may better (5xx, 429).
    #[error("{0}")]
    Away(String),
    /// The server said no.
    #[error("{0}")]
    Refused(String),
}

/// The state of one run. Every call may be repeated: locking twice with one id is one lock.
pub trait StateStore: Send + Sync + 'static {
    /// The current state; `None` when there is none yet.
    fn read(&self) -> impl Future<Output = Result<Option<Bytes>, StoreError>> + Send;
    /// A new version, under the lock of that id.
    fn write(&self, lock: Option<&str>, state: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Takes the lock, given as tofu's JSON.
    fn lock(&self, lock: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Gives it back.
    fn unlock(&self, lock: Bytes) -> impl Future<Output = Result<(), StoreError>> + Send;
}

impl StateStore for LeasedRun {
    async fn read(&self) -> Result<Option<Bytes>, StoreError> {
        let answer = done(self.read_state().await)?;
        // 204 is the server's own word for *none*; an empty 200 is nobody's.
        match (answer.status, answer.body.is_empty()) {
            (204, _) => Ok(None),
            (200, false) => Ok(Some(answer.body)),
            (status, _) => Err(StoreError::Away(format!("the server answered {status} without a state"))),
        }
    }

    async fn write(&self, lock: Option<&str>, state: Bytes) -> Result<(), StoreError> {
        done(self.write_state(lock, state).await).map(drop)
    }

    async fn lock(&self, lock: Bytes) -> Result<(), StoreError> {
        done(self.lock_state(lock).await).map(drop)
    }

    async fn unlock(&self, lock: Bytes) -> Result<(), StoreError> {
        done(self.unlock_state(lock).await).map(drop)
    }
}

fn done(answer: Result<StateAnswer, ClientError>) -> Result<StateAnswer, StoreError> {
    match answer {
        Ok(answer) if answer.status == 423 => Err(StoreError::Locked(answer.body)),
        Ok(answer) => Ok(answer),
        Err(error) => Err(failed(&error)),
    }
}

fn failed(error: &ClientError) -> StoreError {
    match error.kind() {
        ErrorKind::Locked(holder) => StoreError::Locked(serde_json::to_vec(holder).unwrap_or_default().into()),
        // tofu leaves the state on this host, which is better than to wait for what cannot come.
        _ if error.is_superseded() => StoreError::Refused(error.to_string()),
        // The agent opens a new session by itself; until then its token may be the old one.
        _ if error.is_retryable() || error.status() == Some(401) => StoreError::Away(error.to_string()),
        _ => StoreError::Refused(error.to_string()),
    }
}
