//! Log output: to stderr, as text or JSON.
//!
//! Rule: stdout belongs to data. What is logged are ids, hosts, names and durations; and if a secret of a run that is at
//! work gets into a message all the same, it is taken out here.

use std::io::{self, IsTerminal, Write};

use tracing::Dispatch;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::redact::AnyLive;
use crate::settings::log::LogSettings;

/// What is logged when nothing is set: services tell what they do, other people's crates only what is wrong.
const SERVICE: &str = "warn,nigari=info";
/// A command says what it has to say itself.
const COMMAND: &str = "error";

/// Starts logging for the whole process. A second call does nothing.
pub fn start(settings: &LogSettings, is_service: bool) {
    let default = if is_service { SERVICE } else { COMMAND };
    let filter = settings.filter.as_deref().unwrap_or(default);
    let (filter, wrong) = match EnvFilter::try_new(filter) {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(default), Some(error)),
    };
    let colour = io::stderr().is_terminal() && !crate::settings::cli::no_color();
    let started = log(settings.json, filter, colour, io::stderr).try_init();
    if let (Ok(()), Some(error)) = (started, wrong) {
        tracing::error!(%error, "NIGARI_LOG is not a filter; hint: for example `info` or `nigari::agent=debug,warn`");
    }
}

/// The log that is written to what `to` gives, without the secrets of anything that lives.
fn log<W: Write + 'static>(
    json: bool,
    filter: EnvFilter,
    colour: bool,
    to: impl Fn() -> W + Send + Sync + 'static,
) -> Dispatch {
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || AnyLive(to()));
    if json {
        Dispatch::new(builder.json().finish())
    } else {
        Dispatch::new(builder.with_ansi(colour).with_target(false).finish())
    }
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::EnvFilter;

    use super::{SERVICE, log};
    use crate::redact::{Needles, PLACEHOLDER, Redactions};
    use crate::secret::Secret;

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_secret_of_a_run_that_is_at_work_is_not_in_the_log_as_text_or_as_json() {
        const PASSWORD: &str = "k8/\"Qw3rtz\" of-7f";
        let redactions = Redactions::new();
        let mut needles = Needles::new();
        needles.secret(&Secret::from(PASSWORD));
        redactions.add(needles);
        for (json, colour) in [(false, false), (false, true), (true, false)] {
            let written = Written::default();
            let to = written.clone();
            let dispatch = log(json, EnvFilter::new(SERVICE), colour, move || to.clone());
            tracing::dispatcher::with_default(&dispatch, || {
                tracing::info!(answer = PASSWORD, "the registry said {PASSWORD}, and nothing else");
            });
            let text = String::from_utf8(written.0.lock().unwrap().clone()).unwrap();
            // All of the message but what it had twice.
            assert!(text.contains("the registry said") && text.contains("and nothing else"), "{text}");
            assert_eq!(text.matches(PLACEHOLDER).count(), 2, "{text}");
            assert!(!text.contains("Qw3rtz") && !text.contains("of-7f"), "{text}");
        }
    }
}
