//! A command's way to the server.
//!
//! Rule: the token comes from its file and goes into the client; nothing else of a command sees it.

use std::path::Path;

use url::Url;

use super::error::CommandError;
use super::screen::Screen;
use crate::client::{Client, ClientOptions, ServerAddress, TokenSource};
use crate::settings::cli::{Context, ContextLayer};
use crate::settings::{SettingsProblem, secret_file};
use crate::tls::{self, InvalidCa};

/// What every command that talks to a server has.
#[derive(Debug)]
pub(super) struct Session {
    /// The server.
    pub(super) client: Client,
    /// Where it is.
    pub(super) server: Url,
    /// Where the command writes.
    pub(super) screen: Screen,
}

impl Session {
    /// Finds server and token; nothing is sent yet.
    pub(super) fn open(flags: &ContextLayer, screen: Screen) -> Result<Self, CommandError> {
        let context = Context::load(flags)?;
        let token = secret_file::read(&context.token_file);
        // One that `login` wrote and that is gone is no wrong word.
        let token = if flags.token_file.is_some() { token.map_err(CommandError::named_secret)? } else { token? };
        let client = client(context.server.as_str(), TokenSource::fixed(token), context.ca_file.as_deref())?;
        Ok(Self { client, server: context.server, screen })
    }
}

/// A client of the server at `url`.
pub(super) fn client(url: &str, token: TokenSource, ca_file: Option<&Path>) -> Result<Client, CommandError> {
    let server: ServerAddress = url.parse().map_err(|error: crate::client::InvalidServer| SettingsProblem {
        place: "server".to_owned(),
        message: error.to_string(),
        hint: None,
    })?;
    let ca_pem = ca_file.map(read_ca).transpose()?;
    Ok(Client::new(server, token, ClientOptions { ca_pem, ..ClientOptions::default() })?)
}

/// The certificates of the authority that a server is trusted by.
fn read_ca(path: &Path) -> Result<String, CommandError> {
    let text = read_pem(path)?;
    match tls::check_ca_pem(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let (message, hint) = refused_ca(path, &error);
            Err(SettingsProblem::new("ca_file", message, hint).into())
        }
    }
}

/// The certificates of a registry's private authority, from the file of `--registry-ca-file`.
pub(super) fn read_registry_ca(path: &Path) -> Result<String, CommandError> {
    let text = read_pem(path)?;
    match tls::check_ca_pem(&text) {
        Ok(_) => Ok(text),
        Err(error) => {
            let (message, hint) = refused_ca(path, &error);
            Err(CommandError::usage(format!("`--registry-ca-file`: {message}"), hint))
        }
    }
}

fn read_pem(path: &Path) -> Result<String, CommandError> {
    std::fs::read_to_string(path)
        .map_err(|source| CommandError::named(format!("cannot read {}", path.display()), source))
}

/// What is wrong with a file of certificates, and what to do.
fn refused_ca(path: &Path, error: &InvalidCa) -> (String, String) {
    let text = error.to_string();
    let (what, hint) = text
        .split_once("; hint: ")
        .unwrap_or((&text, "give the authority's certificate as PEM, as it was handed out, and nothing else"));
    (format!("{} cannot be used: {what}", path.display()), hint.to_owned())
}
