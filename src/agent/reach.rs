//! Whether the server is within reach, said in the log: once when it is lost, each minute while it stays away, and when
//! it is back.
//!
//! Rule: all who talk to the server share one of these, so that nothing is said twice.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::client::{ClientError, ErrorKind};
use crate::clock::BootInstant;

/// Between two reminders.
const REMIND_EVERY: Duration = Duration::from_mins(1);

/// What is known of the server.
#[derive(Debug, Default)]
pub(crate) struct Reach(Mutex<Option<Away>>);

/// It is away.
#[derive(Debug, Clone, Copy)]
struct Away {
    since: BootInstant,
    said: BootInstant,
}

/// What there is to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum News {
    Lost,
    StillAway,
    Back,
}

impl Reach {
    /// Lets a call go through and takes note of how it ended.
    pub(crate) async fn note<T>(&self, call: impl Future<Output = Result<T, ClientError>>) -> Result<T, ClientError> {
        let begun = BootInstant::now();
        // On the heap: it is part of every future of the agent.
        let answer = Box::pin(call).await;
        let failure = answer.as_ref().err().filter(|error| is_away(error));
        let Some((news, since)) = self.learn(begun, failure.is_some(), REMIND_EVERY) else { return answer };
        let seconds = since.elapsed().as_secs();
        match (news, failure) {
            (News::Lost, Some(error)) if error.is_retryable() => {
                tracing::warn!(%error, "the server is out of reach; it is tried on");
            }
            // Whoever asked decides: at the start, a certificate of nobody ends the agent.
            (News::Lost, Some(error)) => tracing::warn!(%error, "the server is out of reach"),
            (News::StillAway, Some(error)) => tracing::warn!(%error, seconds, "the server is still out of reach"),
            _ => tracing::info!(seconds, "the server is back"),
        }
        answer
    }

    fn learn(&self, begun: BootInstant, away: bool, remind_every: Duration) -> Option<(News, BootInstant)> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = BootInstant::now();
        match (away, *known) {
            (true, None) => {
                *known = Some(Away { since: now, said: now });
                Some((News::Lost, now))
            }
            (true, Some(before)) if before.said.elapsed() >= remind_every => {
                *known = Some(Away { said: now, ..before });
                Some((News::StillAway, before.since))
            }
            // A long poll that a server answered while it ended tells nothing of one that is back.
            (false, Some(before)) if begun >= before.since => {
                *known = None;
                Some((News::Back, before.since))
            }
            _ => None,
        }
    }
}

/// Whether it is not the server itself that answered, or one that cannot work now.
fn is_away(error: &ClientError) -> bool {
    match error.kind() {
        ErrorKind::Unreachable(_) | ErrorKind::Tls { .. } | ErrorKind::TimedOut | ErrorKind::NotNigari { .. } => true,
        ErrorKind::Problem(problem) => problem.status >= 500,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{News, Reach};
    use crate::clock::BootInstant;

    #[test]
    fn a_server_that_is_away_is_told_once_then_now_and_then_and_when_it_is_back() {
        let reach = Reach::default();
        let learn = |away, every| reach.learn(BootInstant::now(), away, every).map(|(news, _)| news);
        let earlier = BootInstant::now();
        std::thread::sleep(Duration::from_millis(2));
        let hour = Duration::from_hours(1);
        assert_eq!(learn(false, hour), None);
        assert_eq!(learn(true, hour), Some(News::Lost));
        assert_eq!(learn(true, hour), None);
        assert!(reach.learn(earlier, false, hour).is_none());
        assert_eq!(learn(true, Duration::ZERO), Some(News::StillAway));
        assert_eq!(learn(true, hour), None);
        assert_eq!(learn(false, hour), Some(News::Back));
        assert_eq!(learn(false, hour), None);
        assert_eq!(learn(true, hour), Some(News::Lost));
    }
}
