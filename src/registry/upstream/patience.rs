//! How often and how long a registry is asked again. OpenTofu itself never does (nor for `oci_mirror`).
//!
//! Rule: only before the first byte of a body, only when asking again may help, and never beyond the bounds: a
//! `Retry-After` that is longer than what is left is an answer like any other.

use std::time::Duration;

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, RETRY_AFTER};

use super::{Answer, UpstreamError};
use crate::clock::{BootInstant, Clock};
use crate::registry::exchange::ExchangeError;
use crate::tls::ConnectFailure;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// Tries at most.
    pub tries: u32,
    /// How long all tries may take together.
    pub whole: Duration,
    /// How long the head of one answer may take.
    pub head: Duration,
    /// The first pause; each further one is twice as long.
    pub pause: Duration,
    /// How long a body may stand still.
    pub stall: Duration,
    /// How long a connection that is passed through may be silent in both directions. Longer than clients keep a
    /// connection that they do not need at the moment (90 s in Go), so that only what is waited for is cut.
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 4,
            whole: Duration::from_secs(30),
            head: Duration::from_secs(20),
            pause: Duration::from_millis(250),
            stall: Duration::from_secs(30),
            silence: Duration::from_mins(2),
        }
    }
}

/// The tries of one request.
pub(super) struct Tries {
    patience: Patience,
    end: BootInstant,
    made: u32,
}

impl Tries {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, end: BootInstant::now().after(patience.whole), made: 0 }
    }

    /// Time that is left for all of them.
    pub(super) fn remaining(&self) -> Duration {
        self.end.remaining()
    }

    /// How long to wait before the next try; `None` when this was the last.
    pub(super) fn pause(&mut self, result: &Result<Answer, UpstreamError>) -> Option<Duration> {
        let wanted = again(result)?;
        self.made += 1;
        if self.made >= self.patience.tries {
            return None;
        }
        let own = jittered(self.patience.pause.saturating_mul(1 << (self.made - 1).min(16)));
        let pause = wanted.max(own);
        (pause < self.remaining()).then_some(pause)
    }
}

/// How long the other side wants to be left alone, zero if it does not say; `None` when another try cannot help.
fn again(result: &Result<Answer, UpstreamError>) -> Option<Duration> {
    let wanted = match result {
        Ok(answer) if is_passing(answer.status) => retry_after(&answer.headers),
        Err(UpstreamError::TokenRefused { status, retry_after, .. }) if is_passing(*status) => *retry_after,
        Err(UpstreamError::Registry { source, .. } | UpstreamError::TokenService { source, .. }) => match source {
            ExchangeError::Connect(failure) if !failure.is_tls() && *failure != ConnectFailure::ProxyLogin => None,
            ExchangeError::TimedOut => None,
            _ => return None,
        },
        _ => return None,
    };
    Some(wanted.unwrap_or_default())
}

/// What may be better in a moment: not what the other side will never do (501, 505), but also what CDNs say of the
/// registry behind them (520 to 526).
fn is_passing(status: StatusCode) -> bool {
    matches!(status.as_u16(), 429 | 500 | 502..=504 | 507 | 520..=526)
}

/// `Retry-After` in seconds or as a date (RFC 9110, section 10.2.3); what cannot be read is not there.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are longer than anybody waits.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::MAX / 2)));
    }
    let at = jiff::fmt::rfc2822::parse(text).ok()?.timestamp().as_microsecond();
    Some(Duration::from_micros(u64::try_from(at - Clock::new().now()).unwrap_or(0)))
}

/// Between half and all of it, so that many agents do not come back together.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    // Without random bytes there is no jitter, and no harm.
    let _ = SystemRandom::new().fill(&mut byte);
    pause / 2 + pause * u32::from(byte[0]) / 512
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::StatusCode;
    use reqwest::header::{HeaderMap, HeaderValue, RETRY_AFTER};

    use super::{Patience, Tries, jittered, retry_after};
    use crate::registry::ExchangeError;
    use crate::registry::upstream::UpstreamError;

    fn read(text: &'static str) -> Option<Duration> {
        retry_after(&HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]))
    }

    #[test]
    fn both_forms_of_retry_after_are_read() {
        assert_eq!(read("17"), Some(Duration::from_secs(17)));
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(read("Sat, 06 Nov 2094 08:49:37 GMT").unwrap() > Duration::from_hours(24 * 365));
        assert!(read("99999999999999999999999").unwrap() > Duration::from_hours(24 * 365));
        for text in ["", "soon", "-1", "1.5"] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn tries_are_bounded_in_number_and_time() {
        let failed = || Err(UpstreamError::Registry { host: "h".into(), source: ExchangeError::TimedOut });
        let mut tries = Tries::new(Patience::default());
        let pauses: Vec<_> = std::iter::from_fn(|| tries.pause(&failed())).collect();
        assert_eq!(pauses.len(), 3);
        assert!(pauses.iter().zip([250, 500, 1000]).all(|(pause, most)| pause.as_millis() <= most), "{pauses:?}");
        let mut tries = Tries::new(Patience { whole: Duration::ZERO, ..Patience::default() });
        assert!(tries.pause(&failed()).is_none());
        let forbidden = Err(UpstreamError::Registry { host: "h".into(), source: ExchangeError::Forbidden });
        assert!(Tries::new(Patience::default()).pause(&forbidden).is_none());
    }

    #[test]
    fn each_pause_is_longer_than_the_one_before() {
        let failed = || Err(UpstreamError::Registry { host: "h".into(), source: ExchangeError::TimedOut });
        // Jitter is random, so not only once.
        for _ in 0..100 {
            let mut tries = Tries::new(Patience { tries: 6, whole: Duration::from_hours(1), ..Patience::default() });
            let pauses: Vec<_> = std::iter::from_fn(|| tries.pause(&failed())).collect();
            assert!(pauses.iter().zip([125, 250, 500, 1000, 2000]).all(|(pause, least)| pause.as_millis() >= least));
            assert!(pauses.len() == 5 && pauses.is_sorted(), "{pauses:?}");
        }
    }

    #[test]
    fn what_passes_is_asked_for_again_and_nothing_else() {
        let refused = |status: u16, retry_after| {
            let status = StatusCode::from_u16(status).unwrap();
            Err(UpstreamError::TokenRefused { host: "h".into(), whose: "x".into(), status, retry_after })
        };
        let again = |status| Tries::new(Patience::default()).pause(&refused(status, None)).is_some();
        let all: Vec<u16> = (100..600).filter(|status| again(*status)).collect();
        assert_eq!(all, [429, 500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 526]);
        // What the other side asks for is waited for, if there is time for it.
        let asked = |seconds| Tries::new(Patience::default()).pause(&refused(503, Some(Duration::from_secs(seconds))));
        assert_eq!((asked(7), asked(31)), (Some(Duration::from_secs(7)), None));
    }

    #[test]
    fn jitter_never_lengthens_a_pause() {
        for _ in 0..100 {
            let pause = jittered(Duration::from_millis(100));
            assert!((50..=100).contains(&pause.as_millis()), "{pause:?}");
        }
    }
}
