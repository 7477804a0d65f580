//! Blobs that nothing refers to.

use std::time::Duration;

use crate::server::api::ServerState;
use crate::server::store::{StoreError, blobs};

/// Younger ones may belong to an upload that goes on.
const YOUNGEST: Duration = Duration::from_hours(2);
/// Deleted in one transaction: others wait for it.
const AT_ONCE: i64 = 8;

/// Deletes them, a few at a time. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn sweep_blobs(state: &ServerState) -> Result<u64, StoreError> {
    let before = state.clock.now() - i64::try_from(YOUNGEST.as_micros()).unwrap_or(i64::MAX);
    let mut swept = 0;
    while !state.shutdown.is_cancelled() {
        let mut transaction = state.store.begin_write().await?;
        let now = blobs::sweep(&mut transaction, before, AT_ONCE).await?;
        if now == 0 {
            break;
        }
        transaction.commit().await?;
        swept += now;
    }
    Ok(swept)
}
