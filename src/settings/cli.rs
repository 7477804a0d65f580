//! The context of the commands: which server, as whom.
//!
//! Rule: a token is in a file of its own (mode 0600), never in a flag, a variable or the context itself.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::{SettingsError, SettingsProblem, environment};

/// File below the configuration directory that says which server the commands talk to.
const CONTEXT: &str = "context.json";
/// File beside it with the token, unless the context names another.
const TOKEN: &str = "token";

/// What `login` and `up` write and every command reads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// The server.
    pub server: Url,
    /// Absolute path of the file with the token.
    pub token_file: PathBuf,
    /// Absolute path of the PEM file with the server's private CA.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Options of every command")]
pub struct ContextLayer {
    /// URL of the server: https, or plain http on loopback
    #[arg(long, global = true, env = "NIGARI_SERVER", value_name = "URL")]
    pub server: Option<String>,
    /// File (mode 0600) with the token to use
    #[arg(long, global = true, env = "NIGARI_TOKEN_FILE", value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the private CA of the server's certificate
    #[arg(long, global = true, env = "NIGARI_CA_FILE", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

impl Context {
    /// Resolves `flags` (which hold the environment already) over what `login` or `up` wrote.
    ///
    /// # Errors
    /// When there is no server or no token, or the stored context cannot be read.
    pub fn load(flags: &ContextLayer) -> Result<Self, SettingsError> {
        Self::load_from(&directory(), flags)
    }

    fn load_from(directory: &Path, flags: &ContextLayer) -> Result<Self, SettingsError> {
        let server = flags.server.as_deref().map(|text| server_url("server", text)).transpose()?;
        // A stored token belongs to the stored server: it is not sent to another one.
        let stored = Self::stored(directory)?.filter(|stored| server.as_ref().is_none_or(|url| *url == stored.server));
        let (stored_server, stored_token, stored_ca) = stored
            .map_or((None, None, None), |context| (Some(context.server), Some(context.token_file), context.ca_file));
        let server = server.or(stored_server).ok_or_else(|| {
            SettingsProblem::new(
                "server",
                "is not set",
                "`nigari login --server URL`, or `nigari up` for one of your own",
            )
        })?;
        let token_file = flags.token_file.clone().or(stored_token).ok_or_else(|| {
            let message = format!("there is no token for {server}");
            SettingsProblem::new(
                "token_file",
                message,
                format!("`nigari login --server {server}`, or `--token-file FILE`"),
            )
        })?;
        if server.scheme() == "http" && flags.ca_file.is_some() {
            let hint = "leave it out; the private CA of a *registry* is `--registry-ca-file FILE`";
            let message = format!("is for the certificate of the server, but {server} has none");
            return Err(SettingsProblem::new("ca_file", message, hint).into());
        }
        Ok(Self { server, token_file, ca_file: flags.ca_file.clone().or(stored_ca) })
    }

    fn stored(directory: &Path) -> Result<Option<Self>, SettingsProblem> {
        let path = directory.join(CONTEXT);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                let hint = "correct its owner or mode, or remove it and log in again";
                return Err(SettingsProblem::new(path.display().to_string(), format!("cannot be read: {error}"), hint));
            }
        };
        serde_json::from_str(&text).map(Some).map_err(|error| {
            let hint = "remove it and `nigari login` again";
            SettingsProblem::new(path.display().to_string(), format!("is not a context: {error}"), hint)
        })
    }
}

/// The directory with the context.
pub fn directory() -> PathBuf {
    environment::config_home()
}

/// What `login` or `up` wrote in `directory`, if anything.
///
/// # Errors
/// When it is there and cannot be read.
pub fn stored_context(directory: &Path) -> Result<Option<Context>, SettingsError> {
    Ok(Context::stored(directory)?)
}

/// Path of the context's file in `directory`.
pub fn context_file(directory: &Path) -> PathBuf {
    directory.join(CONTEXT)
}

/// Path of the token's file in `directory`.
pub fn token_file(directory: &Path) -> PathBuf {
    directory.join(TOKEN)
}

/// Whether `NO_COLOR` (<https://no-color.org>) asks for no colours.
pub fn no_color() -> bool {
    environment::variable("NO_COLOR").is_some()
}

/// Columns that `COLUMNS` asks for.
pub fn columns() -> Option<usize> {
    environment::variable("COLUMNS")?.to_str()?.parse().ok()
}

/// Checks the URL of a server that a client of ours is to talk to: https, or plain http on loopback; no user
/// information, query or fragment. `place` is the setting's name.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn server_url(place: &str, text: &str) -> Result<Url, SettingsProblem> {
    let problem = |message: String, hint: &str| Err(SettingsProblem::new(place, message, hint));
    let example = "for example `https://nigari.example.com` or `http://127.0.0.1:7077`";
    let Ok(url) = Url::parse(text.trim()) else {
        return problem(format!("`{text}` is not a URL"), example);
    };
    if !url.username().is_empty() || url.password().is_some() {
        return problem("contains a user name or password".to_owned(), "give the token by `nigari login`");
    }
    if url.query().is_some() || url.fragment().is_some() || !matches!(url.path(), "/" | "") {
        return problem(format!("`{text}` has a path, query or fragment"), example);
    }
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address == Ipv4Addr::LOCALHOST,
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(url),
        "http" if loopback => Ok(url),
        "http" => problem(format!("`{text}` is plain http beyond loopback: the token could be read"), "use https"),
        _ => problem(format!("`{text}` is not an https URL"), example),
    }
}

#[cfg(test)]
mod tests {
    use super::{Context, ContextLayer, context_file};

    fn stored(directory: &tempfile::TempDir) {
        let text = r#"{"server":"https://stored.example/","token_file":"/etc/token","ca_file":"/etc/ca.pem"}"#;
        std::fs::write(context_file(directory.path()), text).unwrap();
    }

    #[test]
    fn without_flags_the_stored_context_is_taken() {
        let directory = tempfile::tempdir().unwrap();
        stored(&directory);
        let context = Context::load_from(directory.path(), &ContextLayer::default()).unwrap();
        assert_eq!(context.server.as_str(), "https://stored.example/");
        assert_eq!(context.token_file.to_str(), Some("/etc/token"));
    }

    #[test]
    fn a_stored_token_is_never_sent_to_another_server() {
        let directory = tempfile::tempdir().unwrap();
        stored(&directory);
        let flags = ContextLayer { server: Some("https://other.example".into()), ..ContextLayer::default() };
        let error = Context::load_from(directory.path(), &flags).unwrap_err().to_string();
        assert!(error.contains("no token for https://other.example/"), "{error}");
        let same = ContextLayer { server: Some("https://stored.example".into()), ..ContextLayer::default() };
        assert!(Context::load_from(directory.path(), &same).is_ok());
    }

    #[test]
    fn without_anything_it_says_how_to_begin() {
        let directory = tempfile::tempdir().unwrap();
        let error = Context::load_from(directory.path(), &ContextLayer::default()).unwrap_err().to_string();
        assert!(error.contains("nigari login --server URL") && error.contains("nigari up"), "{error}");
    }

    #[test]
    fn a_broken_context_is_named() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(context_file(directory.path()), "{").unwrap();
        let error = Context::load_from(directory.path(), &ContextLayer::default()).unwrap_err().to_string();
        assert!(error.contains("context.json: is not a context"), "{error}");
    }
}
