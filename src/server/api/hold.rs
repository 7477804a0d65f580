//! How long a long poll is held.

use std::time::Duration;

use super::ServerState;

/// As long as the server likes.
pub(super) const HOLD: u64 = u64::MAX;

/// What the client asks for, at most what the operator allows.
pub(super) fn hold_for(state: &ServerState, asked_seconds: u64) -> Duration {
    Duration::from_secs(asked_seconds).min(state.settings.hold)
}
