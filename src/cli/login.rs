//! `nigari login`, `nigari whoami`
//!
//! Rule: a token is stored only after the server has taken it, in a file of its own with mode 0600.

use std::path::{Path, PathBuf};

use clap::Args;

use super::error::CommandError;
use super::exit::ExitStatus;
use super::screen::{Screen, time_or};
use super::session::{Session, client};
use super::{private_file, prompt};
use crate::client::TokenSource;
use crate::protocol::api::Whoami;
use crate::settings::cli::{self, Context, ContextLayer, server_url};
use crate::settings::secret_file;

/// Arguments of `login`.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Read the token from standard input instead of asking
    #[arg(long)]
    token_stdin: bool,
}

/// Stores server and token. `--token-file` of the context names a file to take the token from.
pub(super) async fn login(
    arguments: Arguments,
    flags: &ContextLayer,
    screen: Screen,
) -> Result<ExitStatus, CommandError> {
    let Some(server) = &flags.server else {
        return Err(CommandError::usage(
            "which server is not said",
            "`nigari login --server https://nigari.example.com`",
        ));
    };
    let server = server_url("server", server)?;
    let token = match &flags.token_file {
        Some(path) => secret_file::read(path)?,
        None if arguments.token_stdin => prompt::secret_from_stdin()?,
        None if prompt::is_possible() => prompt::ask_secret("Token: ")?,
        None => {
            return Err(CommandError::usage(
                "there is no token and no terminal to ask on",
                "`--token-file FILE` or `--token-stdin`",
            ));
        }
    };
    let ca_file = flags.ca_file.as_deref().map(absolute);
    let kept = token.duplicate();
    let whoami = client(server.as_str(), TokenSource::fixed(token), ca_file.as_deref())?.whoami().await?;
    let directory = cli::directory();
    private_file::make_directory(&directory)?;
    let token_file = cli::token_file(&directory);
    private_file::write_secret(&token_file, &kept)?;
    store(&directory, &Context { server, token_file, ca_file })?;
    screen.note(format_args!("logged in; stored in {}", directory.display()));
    show(&whoami, screen)?;
    Ok(ExitStatus::Ok)
}

/// Says whose token this is.
pub(super) async fn whoami(session: &Session) -> Result<(), CommandError> {
    show(&session.client.whoami().await?, session.screen)
}

/// Writes the context that the other commands use.
pub(super) fn store(directory: &Path, context: &Context) -> Result<(), CommandError> {
    private_file::make_directory(directory)?;
    private_file::write(&cli::context_file(directory), &serde_json::to_vec_pretty(context)?)
}

fn show(whoami: &Whoami, screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        return screen.json(whoami);
    }
    screen.fields(&[
        ("name", whoami.name.clone()),
        ("token", whoami.token.to_string()),
        ("kind", whoami.kind.word().to_owned()),
        ("role", whoami.role.clone()),
        ("expires", time_or(whoami.expires_at, "never")),
        ("server", whoami.server_version.clone()),
    ])
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
