//! Trying again: exponential back-off with full jitter, bounded by a deadline that the caller gives.
//!
//! Rule: only idempotent calls are wrapped in [`until`]. All agent routes are: ids, offsets and epochs make a repeat
//! get the same answer. What a person makes anew (a run, a token, an integration) is not.

use std::future::Future;
use std::time::Duration;

use jiff::fmt::rfc2822;
use uuid::Uuid;

use super::error::{ClientError, Context, ErrorKind};
use crate::clock::{BootInstant, Clock};

/// The first pause is at most this long.
const FIRST: Duration = Duration::from_millis(100);
/// Every later pause is at most this long.
const LONGEST: Duration = Duration::from_secs(10);
/// A server may ask for a pause up to this long.
const LONGEST_ASKED: Duration = Duration::from_mins(5);

/// Pauses between tries: for loops that go on for ever, like the one for claims.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// Nothing has failed yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// It worked: the next failure is the first again.
    pub fn reset(&mut self) {
        self.tries = 0;
    }

    /// How long to wait now: a random time up to a bound that doubles with each failure, and what the server asked
    /// for before that.
    pub fn next_pause(&mut self, asked: Option<Duration>) -> Duration {
        let bound = FIRST.saturating_mul(2_u32.saturating_pow(self.tries)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        asked.unwrap_or_default().min(LONGEST_ASKED) + bound.mul_f64(random_fraction())
    }
}

/// Between 0 and 1.
fn random_fraction() -> f64 {
    // The last 32 bits of a version 4 UUID are all random.
    let [.., a, b, c, d] = Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

/// Repeats an idempotent call until it succeeds, fails for good, or `deadline` comes; a try that is under way then is
/// given up. The error is the last try's.
pub async fn until<T, F>(deadline: BootInstant, mut call: impl FnMut() -> F) -> Result<T, ClientError>
where
    F: Future<Output = Result<T, ClientError>>,
{
    let mut backoff = Backoff::new();
    let mut last: Option<ClientError> = None;
    loop {
        let error = match tokio::time::timeout(deadline.remaining(), call()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(error)) => error,
            Err(_) => return Err(last.unwrap_or_else(deadline_passed)),
        };
        let pause = backoff.next_pause(error.retry_after());
        if !error.is_retryable() || pause >= deadline.remaining() {
            return Err(error);
        }
        tracing::debug!(%error, pause_ms = pause.as_millis(), "trying again");
        last = Some(error);
        tokio::time::sleep(pause).await;
    }
}

fn deadline_passed() -> ClientError {
    let context = Context {
        operation: "get an answer before the deadline".to_owned(),
        server: "the server".to_owned(),
        login_hint: "",
        has_ca: false,
    };
    context.error(ErrorKind::TimedOut)
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds or a date.
pub(super) fn retry_after(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = rfc2822::DateTimeParser::new().parse_timestamp(text.trim()).ok()?.as_microsecond();
    u64::try_from(at - Clock::new().now()).ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Backoff, LONGEST, LONGEST_ASKED, retry_after};

    #[test]
    fn pauses_grow_up_to_a_bound_and_are_not_all_the_same() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_pause(None) <= Duration::from_millis(100));
        let pauses: Vec<_> = (0..200).map(|_| backoff.next_pause(None)).collect();
        assert!(pauses.iter().all(|pause| *pause <= LONGEST));
        assert!(pauses.iter().any(|pause| *pause > LONGEST / 2));
        assert!(pauses.iter().any(|pause| *pause < LONGEST / 2));
        backoff.reset();
        assert!(backoff.next_pause(None) <= Duration::from_millis(100));
    }

    #[test]
    fn what_the_server_asks_for_is_waited_but_not_for_ever() {
        let mut backoff = Backoff::new();
        assert!(backoff.next_pause(Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.next_pause(Some(Duration::from_secs(u64::MAX))) <= LONGEST_ASKED + LONGEST);
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(retry_after("120"), Some(Duration::from_mins(2)));
        assert!(retry_after("Fri, 31 Dec 2100 23:59:59 GMT").is_some_and(|pause| pause > Duration::from_hours(24)));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
        assert_eq!(retry_after("soon"), None);
        assert_eq!(retry_after("-1"), None);
    }
}
