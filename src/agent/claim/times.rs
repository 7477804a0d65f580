//! The arithmetic of a lease.
//!
//! Rule: the agent's deadline is the moment at which the granting request was *sent*, plus the length, minus a margin;
//! the server counts from when it received it. So the agent always stops first, whatever the clocks say.

use std::time::Duration;

use crate::clock::BootInstant;

/// How a lease of some length is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When it must be taken for lost.
    pub(super) deadline: BootInstant,
    length: Duration,
}

impl Times {
    /// Granted by a request that was sent at `sent`.
    pub(super) fn granted(sent: BootInstant, length: Duration) -> Self {
        Self { deadline: sent.after(length.saturating_sub(margin(length))), length }
    }

    /// Whether nothing may be done under it any more.
    pub(super) fn is_over(&self) -> bool {
        self.deadline.remaining().is_zero()
    }

    /// How long to wait for the next renewal: three fit into a lease.
    pub(super) fn pause(&self) -> Duration {
        (self.length / 3).min(self.deadline.remaining())
    }

    /// How long to wait after a renewal that failed.
    pub(super) fn retry(&self) -> Duration {
        (self.length / 20).clamp(Duration::from_millis(100), Duration::from_secs(2))
    }

    /// How long one renewal may take: a request that hangs must leave time for another.
    pub(super) fn patience(&self) -> Duration {
        (self.length / 4).clamp(Duration::from_millis(500), Duration::from_secs(10))
    }
}

/// What the agent needs to stop tofu by force, and what clocks may drift.
pub(super) fn margin(length: Duration) -> Duration {
    length / 5
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Times;
    use crate::clock::BootInstant;

    const LENGTH: Duration = Duration::from_secs(30);

    #[test]
    fn the_deadline_is_before_the_servers() {
        let sent = BootInstant::now();
        let times = Times::granted(sent, LENGTH);
        assert!(times.deadline < sent.after(LENGTH));
        assert_eq!(times.deadline, sent.after(Duration::from_secs(24)));
    }

    #[test]
    fn a_slow_answer_does_not_lengthen_it() {
        let sent = BootInstant::now();
        std::thread::sleep(Duration::from_millis(30));
        assert_eq!(Times::granted(sent, LENGTH).deadline, sent.after(Duration::from_secs(24)));
    }

    #[test]
    fn two_renewals_may_fail_before_the_deadline() {
        let times = Times::granted(BootInstant::now(), LENGTH);
        assert!(times.pause() * 2 < Duration::from_secs(24));
        assert!(times.pause() + times.patience() + times.retry() < Duration::from_secs(24));
    }

    #[test]
    fn no_length_is_over_at_once() {
        let times = Times::granted(BootInstant::now(), Duration::ZERO);
        assert!(times.is_over());
        assert_eq!(times.pause(), Duration::ZERO);
    }
}
