//! The only place that reads a clock: wall time for people and records, boot time for leases.
//!
//! Rule: durations are measured on the boot-time clock, which counts suspend and cannot be set; the wall clock is only
//! written down and compared with what was written down.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

/// A moment on the boot-time clock of this host; means nothing on another or after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct BootInstant(Duration);

impl BootInstant {
    /// Now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Boottime);
        Self(Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0)))
    }

    /// Time since then; zero for a moment to come.
    pub fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }

    /// That much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }

    /// Time until then; zero once it has passed.
    pub fn remaining(self) -> Duration {
        self.0.saturating_sub(Self::now().0)
    }
}

/// Reads the wall clock; tests shift it.
#[derive(Clone, Default)]
pub struct Clock {
    shift_micros: Arc<AtomicI64>,
}

impl Clock {
    /// The host's clock.
    pub fn new() -> Self {
        Self::default()
    }

    /// Microseconds since the Unix epoch.
    pub fn now(&self) -> i64 {
        #[expect(clippy::disallowed_methods, reason = "the one place")]
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros()).unwrap_or(i64::MAX) + self.shift_micros.load(Ordering::Relaxed)
    }

    /// Lets every later reading of this clock and its clones be that much later: for tests of expiry.
    pub fn advance(&self, duration: Duration) {
        let micros = i64::try_from(duration.as_micros()).unwrap_or(i64::MAX);
        self.shift_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{BootInstant, Clock};

    #[test]
    fn a_shifted_clock_shifts_its_clones() {
        let clock = Clock::new();
        let before = clock.clone().now();
        clock.advance(Duration::from_hours(1));
        assert!(clock.clone().now() >= before + 3_600_000_000);
    }

    #[test]
    fn boot_time_goes_on() {
        let start = BootInstant::now();
        assert!(start.after(Duration::from_mins(1)).remaining() > Duration::from_secs(50));
        assert_eq!(start.remaining(), Duration::ZERO);
    }
}
