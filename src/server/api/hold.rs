//! How long a long poll is held.

use std::time::Duration;

use super::ServerState;

/// As long as the server likes.
pub(super) const HOLD: u64 = u64::MAX;

/// What the client asks for, at most what the operator allows, less up to an eighth: requests that began together, after
/// a restart for example, should not end together.
pub(super) fn hold_for(state: &ServerState, asked_seconds: u64) -> Duration {
    spread(Duration::from_secs(asked_seconds).min(state.settings.hold), state.clock.now())
}

/// The microsecond of the request's arrival is random enough.
fn spread(hold: Duration, now: i64) -> Duration {
    let part = u32::try_from(now.rem_euclid(1024)).unwrap_or(0);
    hold.saturating_sub(hold / 8 * part / 1024)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::spread;

    #[test]
    fn holds_are_spread_over_their_last_eighth() {
        let hold = Duration::from_secs(32);
        assert_eq!(spread(hold, 0), hold);
        assert_eq!(spread(hold, 1023).as_secs(), 28);
        assert!((0..1024).all(|now| spread(hold, now) > Duration::from_secs(28)));
        assert_eq!(spread(Duration::ZERO, 5), Duration::ZERO);
    }
}
