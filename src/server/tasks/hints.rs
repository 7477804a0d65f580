//! Hints of other replicas, for the long polls of this one.

use std::time::Duration;

use crate::secret::Secret;
use crate::server::api::ServerState;
use crate::server::store::StoreError;
use crate::server::store::notify::Hints;

/// Between two attempts to listen. Long polls look again by themselves meanwhile.
const PAUSE: Duration = Duration::from_secs(5);

/// Wakes whom other replicas name, until the server ends. With SQLite there are none.
pub(super) async fn pass_on(state: &ServerState) {
    let Some(url) = &state.settings.database_url else { return };
    loop {
        let failed = tokio::select! {
            () = state.shutdown.cancelled() => return,
            failed = listen(state, url) => failed,
        };
        if let Err(error) = failed {
            tracing::warn!(error = %crate::server::api::problem::chain(&error), "cannot listen; trying again");
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            () = tokio::time::sleep(PAUSE) => {}
        }
    }
}

async fn listen(state: &ServerState, url: &Secret) -> Result<(), StoreError> {
    let mut hints = Hints::listen(url).await?;
    loop {
        state.wake.wake(hints.next().await?);
    }
}
