//! Settings of the log: environment alone, because they are needed before any file is read.

use super::environment;

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// A filter as `tracing` takes it: `info`, `nigari::agent=debug,warn` (`NIGARI_LOG`).
    pub filter: Option<String>,
    /// JSON, one object to a line, instead of text (`NIGARI_LOG_FORMAT=json`).
    pub json: bool,
}

impl LogSettings {
    /// Reads `NIGARI_LOG` and `NIGARI_LOG_FORMAT`.
    pub fn load() -> Self {
        let text = |name| environment::variable(name).and_then(|value| value.into_string().ok());
        Self { filter: text("NIGARI_LOG"), json: text("NIGARI_LOG_FORMAT").is_some_and(|format| format == "json") }
    }
}
