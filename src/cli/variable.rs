//! `nigari variable …`
//!
//! Rule: a sensitive value is never an argument; it comes from a file, standard input or a prompt. What becomes a file
//! is sensitive unless somebody says otherwise, and is taken byte for byte.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};

use super::error::CommandError;
use super::prompt;
use super::screen::yes_no;
use super::session::Session;
use crate::protocol::api::{VariableKind, VariableValue};
use crate::redact;
use crate::secret::Secret;
use crate::settings::secret_file;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Set a variable; runs that are made from now on get it
    Set(SetArguments),
    /// List a workspace's variables; sensitive values are not shown
    List {
        /// The workspace
        #[arg(short, long)]
        workspace: String,
    },
    /// Unset a variable
    Unset {
        /// The variable's name
        name: String,
        /// The workspace
        #[arg(short, long)]
        workspace: String,
        /// How tofu gets it
        #[arg(long, value_enum, default_value_t)]
        kind: Kind,
    },
}

/// How tofu gets a variable.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(super) enum Kind {
    /// As an environment variable of that name
    Env,
    /// As an input variable of the configuration
    #[default]
    Tofu,
    /// As a file in memory (mode 0600, from `init` on), whose path is in the environment variable of that name
    File,
}

/// Arguments of `set`.
#[derive(Debug, Args)]
pub(super) struct SetArguments {
    /// The variable's name (an input variable's without `TF_VAR_`)
    name: String,
    /// Its value; only when it is neither sensitive nor a file
    #[arg(conflicts_with_all = ["value_file", "value_stdin", "sensitive"])]
    value: Option<String>,
    /// File with the value (mode 0600 when sensitive)
    #[arg(long, value_name = "FILE", conflicts_with = "value_stdin")]
    value_file: Option<PathBuf>,
    /// Read the value from standard input
    #[arg(long)]
    value_stdin: bool,
    /// The workspace
    #[arg(short, long)]
    workspace: String,
    /// How tofu gets it
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,
    /// Never show the value again [default: true for `--kind file`, else false]
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    sensitive: Option<bool>,
    /// For people
    #[arg(long, default_value = "")]
    description: String,
}

impl From<Kind> for VariableKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Env => Self::Env,
            Kind::Tofu => Self::Tofu,
            Kind::File => Self::File,
        }
    }
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Set(arguments) => {
            let value = arguments.value()?;
            let is_shown_in_logs = arguments.is_sensitive() && redact::is_too_short(&value);
            let SetArguments { name, workspace, kind, sensitive, description, .. } = arguments;
            let value = VariableValue { value, sensitive, description };
            client.set_variable(&workspace, kind.into(), &name, &value).await?;
            screen.note(format_args!("`{name}` is set for runs of `{workspace}` that are made from now on"));
            if is_shown_in_logs {
                screen.note(format_args!("note: {}", redact::TOO_SHORT));
            }
            Ok(())
        }
        Verb::List { workspace } => {
            let heading = &["NAME", "KIND", "SENSITIVE", "VALUE", "DESCRIPTION"];
            screen.list(&client.variables(&workspace).await?, heading, |variable| {
                vec![
                    variable.name.clone(),
                    variable.kind.word().to_owned(),
                    yes_no(variable.sensitive),
                    variable.value.as_deref().map(shorten).unwrap_or_default(),
                    variable.description.clone(),
                ]
            })
        }
        Verb::Unset { name, workspace, kind } => {
            client.unset_variable(&workspace, kind.into(), &name).await?;
            screen.note(format_args!("`{name}` is unset"));
            Ok(())
        }
    }
}

impl SetArguments {
    fn is_sensitive(&self) -> bool {
        self.sensitive.unwrap_or_else(|| VariableKind::from(self.kind).is_sensitive_by_default())
    }

    fn value(&self) -> Result<Secret, CommandError> {
        match (&self.value, &self.value_file) {
            (Some(_), _) if self.is_sensitive() => Err(CommandError::usage(
                "a file is sensitive, so it cannot be an argument, which every user of this host can read",
                "`--value-file FILE` or `--value-stdin`",
            )),
            (Some(value), _) => Ok(Secret::from(value.as_str())),
            (None, Some(path)) => self.read_file(path),
            (None, None) if self.value_stdin => self.read_stdin(),
            (None, None) if prompt::is_possible() => prompt::ask_secret(&format!("Value of {}: ", self.name)),
            (None, None) => Err(CommandError::usage(
                "there is no value",
                "`--value-file FILE` or `--value-stdin`; as an argument only when it is not sensitive",
            )),
        }
    }

    fn read_file(&self, path: &Path) -> Result<Secret, CommandError> {
        let is_file = matches!(self.kind, Kind::File);
        if self.is_sensitive() {
            let read = if is_file { secret_file::read_whole } else { secret_file::read };
            return read(path).map_err(CommandError::named_secret);
        }
        let failed = |source| CommandError::named(format!("cannot read {}", path.display()), source);
        let text = std::fs::read_to_string(path).map_err(failed)?;
        Ok(if is_file { Secret::new(text) } else { secret_file::without_line_end(text) })
    }

    fn read_stdin(&self) -> Result<Secret, CommandError> {
        if matches!(self.kind, Kind::File) { prompt::file_from_stdin() } else { prompt::secret_from_stdin() }
    }
}

/// The beginning of a value, for a table.
fn shorten(value: &str) -> String {
    let mut short: String = value.chars().take(40).collect();
    if short.len() < value.len() {
        short.push('…');
    }
    short
}
