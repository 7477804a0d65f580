//! `nigari login`, `nigari logout`, `nigari whoami`
//!
//! Rule: a token is stored only after the server has taken it, in a file of its own with mode 0600.

use std::path::{Path, PathBuf};

use clap::Args;
use url::Url;

use super::error::CommandError;
use super::exit::ExitStatus;
use super::screen::{Screen, time_or};
use super::session::{Session, client};
use super::{private_file, prompt};
use crate::client::TokenSource;
use crate::protocol::api::Whoami;
use crate::secret::Secret;
use crate::settings::cli::{self, Context, ContextLayer, server_url};
use crate::settings::{environment, secret_file};

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
        // What is said now wins over what the environment has said all the time.
        _ if arguments.token_stdin => unless_empty(prompt::secret_from_stdin()?)?,
        Some(path) => {
            let by = if is_of_environment(path) { ", which NIGARI_TOKEN_FILE names" } else { "" };
            screen.note(format_args!("the token is taken from {}{by}", path.display()));
            secret_file::read(path).map_err(CommandError::named_secret)?
        }
        None if prompt::is_possible() => unless_empty(prompt::ask_secret("Token: ")?)?,
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
    let url = server.clone();
    store(&directory, &Context { server, token_file, ca_file })?;
    screen.note(format_args!("logged in; stored in {}", directory.display()));
    show(&whoami, &url, screen)?;
    Ok(ExitStatus::Ok)
}

fn unless_empty(token: Secret) -> Result<Secret, CommandError> {
    if token.is_empty() {
        let hint = "type it, `--token-file FILE`, or `--token-stdin` with its text on standard input (`… < FILE`)";
        return Err(CommandError::usage("the token is empty", hint));
    }
    Ok(token)
}

fn is_of_environment(path: &Path) -> bool {
    environment::path("NIGARI_TOKEN_FILE").is_some_and(|named| named == path)
}

/// Removes what `login` has stored, whatever is left of it: the context is there for the words alone. A token in a file
/// of somebody else, such as that of `nigari up`, stays.
pub(super) fn logout(screen: Screen) -> Result<ExitStatus, CommandError> {
    let directory = cli::directory();
    let token_file = cli::token_file(&directory);
    let context = cli::stored_context(&directory);
    // Both, also when one of them cannot be removed.
    let (token_was, context_was) = (remove(&token_file), remove(&cli::context_file(&directory)));
    let token_was = token_was?;
    context_was?;
    match &context {
        Ok(Some(context)) => screen.note(format_args!("logged out of {}", context.server)),
        Ok(None) if !token_was => screen.note("nobody is logged in here"),
        Ok(None) => {}
        Err(error) => screen.note(format_args!("what was stored is removed, though it could not be read: {error}")),
    }
    if token_was {
        screen.note(
            "the token is removed from this host; it stays valid until it expires or `nigari token revoke` ends it",
        );
    }
    if let Ok(Some(Context { token_file: other, .. })) = context
        && other != token_file
    {
        screen.note(format_args!("the token in {} stays: it was not stored by `nigari login`", other.display()));
    }
    Ok(ExitStatus::Ok)
}

/// Whether it was there.
fn remove(path: &Path) -> Result<bool, CommandError> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(CommandError::io(format!("cannot remove {}", path.display()), error)),
    }
}

/// Says whose token this is.
pub(super) async fn whoami(session: &Session) -> Result<(), CommandError> {
    show(&session.client.whoami().await?, &session.server, session.screen)
}

/// Writes the context that the other commands use.
pub(super) fn store(directory: &Path, context: &Context) -> Result<(), CommandError> {
    private_file::make_directory(directory)?;
    private_file::write(&cli::context_file(directory), &serde_json::to_vec_pretty(context)?)
}

fn show(whoami: &Whoami, server: &Url, screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        let mut value = serde_json::to_value(whoami)?;
        value["server"] = server.as_str().into();
        return screen.json(&value);
    }
    screen.fields(&[
        ("server", server.to_string()),
        ("name", whoami.name.clone()),
        ("token", whoami.token.to_string()),
        ("kind", whoami.kind.word().to_owned()),
        ("role", whoami.role.clone()),
        ("expires", time_or(whoami.expires_at, "never")),
        ("version", whoami.server_version.clone()),
    ])
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
