//! How long a lease lasts on the server, and what an ended one means.
//!
//! Rule: the server's deadline is its receipt of the request + L + grace, the agent's is the request's sending + L −
//! margin. So the agent always stops first, whatever the clocks say, as long as they run at about the same speed.

use std::time::Duration;

use crate::protocol::Timestamp;

/// The shortest lease that may be set: renewals every third of it must survive one lost request and its retry.
pub const SHORTEST_LEASE: Duration = Duration::from_secs(3);

/// How long leases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// L, as agents are told.
    pub lease: Duration,
    /// What the server waits beyond L.
    pub grace: Duration,
}

/// Whether a lease still stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Stands,
    /// It is over; the run lapses.
    Over,
}

impl LeaseTerms {
    /// Leases of this length; the grace is a quarter of it.
    pub fn of(lease: Duration) -> Self {
        let lease = lease.max(SHORTEST_LEASE);
        Self { lease, grace: lease / 4 }
    }

    /// The server's deadline for a request that it received at `now`.
    pub fn deadline(&self, now: Timestamp) -> Timestamp {
        now.saturating_add(micros(self.lease)).saturating_add(micros(self.grace))
    }

    /// Whether a lease with this deadline stands at `now`.
    pub fn judge(deadline: Timestamp, now: Timestamp) -> Verdict {
        if now < deadline { Verdict::Stands } else { Verdict::Over }
    }

    /// Whether no server was there (down, suspended, or the clock set forward) between two looks that should have been
    /// `interval` apart. No agent could renew meanwhile, so leases that stood until then get their full time again.
    pub fn was_away(last: Timestamp, now: Timestamp, interval: Duration) -> bool {
        now.saturating_sub(last) > micros(interval).saturating_add(micros(Duration::from_secs(5)))
    }

    /// How long a lease with this deadline still stands at `now`.
    pub fn left(deadline: Timestamp, now: Timestamp) -> Duration {
        Duration::from_micros(u64::try_from(deadline.saturating_sub(now)).unwrap_or(0))
    }

    /// L in whole seconds, as agents are told.
    pub fn lease_seconds(&self) -> u64 {
        self.lease.as_secs()
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{LeaseTerms, Verdict};

    #[test]
    fn the_agent_stops_before_the_server_gives_up() {
        let terms = LeaseTerms::of(Duration::from_mins(1));
        let agent_at_the_latest = 1_000_000 + 60_000_000;
        assert_eq!(LeaseTerms::judge(terms.deadline(1_000_000), agent_at_the_latest), Verdict::Stands);
        assert_eq!(LeaseTerms::judge(terms.deadline(1_000_000), 1_000_000 + 75_000_000), Verdict::Over);
    }

    #[test]
    fn a_server_that_was_away_knows_it() {
        let interval = Duration::from_secs(3);
        assert!(!LeaseTerms::was_away(0, 3_100_000, interval));
        assert!(LeaseTerms::was_away(0, 60_000_000, interval));
    }
}
