//! Why a command failed.
//!
//! Rule: what happened, then what to do next. Printing walks the chain of sources; no message carries a secret.

use std::error::Error;
use std::fmt::Write;
use std::io;

use thiserror::Error;

use super::exit::ExitStatus;
use super::harmless::harmless;
use crate::client::ClientError;
use crate::configuration::PackError;
use crate::settings::secret_file::SecretFileError;
use crate::settings::{SettingsError, SettingsProblem};

/// Why a command failed.
#[derive(Debug, Error)]
pub enum CommandError {
    /// Settings or context are wrong.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// A file with a secret is wrong.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The words do not fit together, beyond what clap can see.
    #[error("{message}")]
    Usage {
        /// What.
        message: String,
        /// What to type instead.
        hint: String,
    },
    /// The server refused, or was not reached.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The directory could not be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A file or the terminal.
    #[error("{operation}")]
    Io {
        /// What was tried, and on what.
        operation: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file or a directory that the person named is not there.
    #[error("{operation}")]
    NotThere {
        /// What was tried, and on what.
        operation: String,
        /// What it should be: `file` or `directory`.
        what: &'static str,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// What came is not what was expected.
    #[error("the JSON cannot be read or written")]
    Json(#[from] serde_json::Error),
    /// The command declines to go on.
    #[error("{message}")]
    Refused {
        /// Why.
        message: String,
        /// What to do.
        hint: String,
    },
    /// Server or agent ended with an error.
    #[error("{message}")]
    Service {
        /// What happened.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// How to end.
        status: ExitStatus,
    },
    /// Nobody reads what we write: no error for the one at the other end of the pipe.
    #[error("nobody reads the output")]
    Output(#[source] io::Error),
}

impl CommandError {
    /// A failed operation on a file.
    pub(super) fn io(operation: impl Into<String>, source: io::Error) -> Self {
        Self::Io { operation: operation.into(), source }
    }

    /// A failed operation on a file that the person named: one that is not there is a wrong word.
    pub(super) fn named(operation: impl Into<String>, source: io::Error) -> Self {
        Self::named_what("file", operation, source)
    }

    /// The same for a directory.
    pub(super) fn named_directory(operation: impl Into<String>, source: io::Error) -> Self {
        Self::named_what("directory", operation, source)
    }

    fn named_what(what: &'static str, operation: impl Into<String>, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotThere { operation: operation.into(), what, source },
            _ => Self::io(operation, source),
        }
    }

    /// The same for a file with a secret.
    pub(super) fn named_secret(error: SecretFileError) -> Self {
        match error {
            SecretFileError::Read(path, source) => match source.kind() {
                io::ErrorKind::NotFound => Self::named(format!("cannot read {}", path.display()), source),
                _ => Self::SecretFile(SecretFileError::Read(path, source)),
            },
            other => Self::SecretFile(other),
        }
    }

    /// Wrong words.
    pub(super) fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Usage { message: message.into(), hint: hint.into() }
    }

    /// The end of a server or an agent, with everything that its error's sources say.
    pub(super) fn service(error: &(dyn Error + 'static), status: ExitStatus) -> Self {
        let mut message = String::new();
        let mut hint = None;
        for cause in std::iter::successors(Some(error), |&cause| cause.source()) {
            let text = cause.to_string();
            let (what, to_do) =
                text.split_once(HINT).map_or((text.as_str(), None), |(what, to_do)| (what, Some(to_do)));
            hint = hint.or_else(|| to_do.map(str::to_owned));
            append(&mut message, what);
            // The client's errors say themselves what their sources say in other words.
            if cause.is::<ClientError>() {
                break;
            }
        }
        Self::Service { message, hint, status }
    }

    /// The same, with `hint` where it has none.
    pub(super) fn or_hint(mut self, more: Option<String>) -> Self {
        if let Self::Service { hint, .. } = &mut self {
            *hint = hint.take().or(more);
        }
        self
    }

    /// A refusal of our own.
    pub(super) fn refused(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Refused { message: message.into(), hint: hint.into() }
    }

    /// What a person can do about it, where the message does not say it already.
    pub(super) fn hint(&self) -> Option<String> {
        match self {
            Self::Usage { hint, .. } | Self::Refused { hint, .. } => Some(hint.clone()),
            Self::Service { hint, .. } => hint.clone(),
            Self::Pack(error) => error.hint(),
            Self::SecretFile(error) => error.hint(),
            Self::NotThere { what, .. } => Some(format!("give the path of a {what} that is there")),
            Self::Client(_) | Self::Settings(_) | Self::Io { .. } | Self::Json(_) | Self::Output(_) => None,
        }
    }

    /// Everything that a person is told: `error: …`, its sources, and `hint: …` on a line of its own.
    pub(super) fn describe(&self) -> String {
        let mut text = format!("error: {self}");
        // The client's errors say themselves what their sources say in other words.
        let mut source = if matches!(self, Self::Client(_)) { None } else { self.source() };
        while let Some(cause) = source {
            append(&mut text, &cause.to_string());
            source = cause.source();
        }
        let mut text = text.replace(HINT, "\nhint: ");
        if let Some(hint) = self.hint() {
            let _ = write!(text, "\nhint: {hint}");
        }
        text.push('\n');
        harmless(&text, false)
    }
}

/// What stands between an error's message and its hint.
const HINT: &str = "; hint: ";

/// Adds a cause, unless it was said already: some errors of others repeat their sources.
fn append(text: &mut String, cause: &str) {
    if text.is_empty() {
        text.push_str(cause);
    } else if !text.ends_with(cause) {
        let _ = write!(text, ": {cause}");
    }
}

impl From<SettingsProblem> for CommandError {
    fn from(problem: SettingsProblem) -> Self {
        Self::Settings(problem.into())
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::CommandError;
    use crate::cli::exit::ExitStatus;

    #[derive(Debug, thiserror::Error)]
    #[error("the agent ends{}", .0)]
    struct Outer(&'static str, #[source] Inner);

    #[derive(Debug, thiserror::Error)]
    #[error("no token; hint: make one")]
    struct Inner;

    #[test]
    fn a_hint_is_said_once_and_after_everything_else() {
        let error = CommandError::service(&Outer("", Inner), ExitStatus::Failed).or_hint(Some("make one".to_owned()));
        assert_eq!(error.describe(), "error: the agent ends: no token\nhint: make one\n");
    }

    #[test]
    fn a_cause_is_said_once() {
        let cause = io::Error::from_raw_os_error(2);
        let error = CommandError::io(format!("cannot read x: {cause}"), cause);
        assert_eq!(error.describe().matches("os error 2").count(), 1, "{}", error.describe());
    }
}
