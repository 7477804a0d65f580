//! Log output: to stderr, as text or JSON.
//!
//! Rule: stdout belongs to data. What is logged are ids, hosts, names and durations; and if a secret of a run that is at
//! work gets into a message all the same, it is taken out here.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

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
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(|| AnyLive(io::stderr()));
    let colour = io::stderr().is_terminal() && !crate::settings::cli::no_color();
    let started =
        if settings.json { builder.json().try_init() } else { builder.with_ansi(colour).with_target(false).try_init() };
    if let (Ok(()), Some(error)) = (started, wrong) {
        tracing::error!(%error, "NIGARI_LOG is not a filter; hint: for example `info` or `nigari::agent=debug,warn`");
    }
}
