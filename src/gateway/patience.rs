//! Trying again while the server is away.
//!
//! Rule: tofu waits as long as the door does. A state write that is refused leaves resources that no state knows, so
//! it waits longest.

use std::future::Future;
use std::time::Duration;

use super::StoreError;
use crate::clock::BootInstant;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long requests are tried again.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Reading, locking, unlocking.
    pub request: Duration,
    /// Writing.
    pub write: Duration,
}

/// Repeats `call` while the server is away, for as long as `patience`; `told` hears of the first failure.
pub(super) async fn persist<T, F: Future<Output = Result<T, StoreError>>>(
    patience: Duration,
    mut told: impl FnMut(&StoreError),
    mut call: impl FnMut() -> F,
) -> Result<T, StoreError> {
    let end = BootInstant::now().after(patience);
    let mut pause = FIRST_PAUSE;
    let mut is_first = true;
    loop {
        match call().await {
            Err(error @ StoreError::Away(_)) => {
                if is_first {
                    told(&error);
                    is_first = false;
                }
                if end.remaining().is_zero() {
                    return Err(error);
                }
                tokio::time::sleep(pause.min(end.remaining())).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            answer => return answer,
        }
    }
}
