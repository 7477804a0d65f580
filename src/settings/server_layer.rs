//! Settings of the server as they are written: `server.toml`, `NIGARI_*`, the flags of `nigari server start`.
//!
//! Rule: a server that would listen in plain beyond loopback never comes out of here, unless the operator says that a
//! proxy ends TLS before it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

use super::duration::Span;
use super::file::{Layer, layer, read};
use super::secret_file::SecretFileError;
use super::server::KeySource;
use super::{ServerSettings, SettingsError, SettingsProblem, environment, secret_file};
use crate::secret::Secret;

layer! {
    /// What a file, the environment or flags say of the server.
    pub struct ServerLayer {
        /// Address and port to listen on; port 0 takes a free one [default: 127.0.0.1:7077]
        #[arg(long, env = "NIGARI_LISTEN", value_name = "ADDR")]
        listen: String,
        /// Directory with database, key and first tokens [default: `$STATE_DIRECTORY`, or
        /// `$XDG_STATE_HOME/nigari/server`]
        #[arg(long, env = "NIGARI_STATE_DIR", value_name = "DIR")]
        state_dir: PathBuf,
        /// `postgres://…` without a password [default: SQLite in the state directory]
        #[arg(long, env = "NIGARI_DATABASE_URL", hide_env_values = true, value_name = "URL")]
        database_url: String,
        /// File (mode 0600) with the database URL, for one with a password
        #[arg(long, env = "NIGARI_DATABASE_URL_FILE", value_name = "FILE")]
        database_url_file: PathBuf,
        /// PEM file with the certificate and its chain
        #[arg(long, env = "NIGARI_TLS_CERTIFICATE", value_name = "FILE")]
        tls_certificate: PathBuf,
        /// PEM file (mode 0600) with the certificate's private key
        #[arg(long, env = "NIGARI_TLS_KEY", value_name = "FILE")]
        tls_key: PathBuf,
        /// A proxy before the server ends TLS: listen in plain, wherever
        #[arg(long, env = "NIGARI_BEHIND_PROXY", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
        behind_proxy: bool,
        /// File (mode 0400 or 0600) with the vault's root key [default: systemd credential `root.key`, or `root.key` in
        /// the state directory, made at the first start]
        #[arg(long, env = "NIGARI_ROOT_KEY_FILE", value_name = "FILE")]
        root_key_file: PathBuf,
        /// How long a phase belongs to an agent that is not heard of [default: 60s]
        #[arg(long, env = "NIGARI_LEASE", value_name = "TIME")]
        lease: Span,
        /// How long a long poll is held at most [default: 30s]
        #[arg(long, env = "NIGARI_HOLD", value_name = "TIME")]
        hold: Span,
        /// How long an agent's session token is good for [default: 1h]
        #[arg(long, env = "NIGARI_SESSION", value_name = "TIME")]
        session: Span,
    }
}

impl ServerSettings {
    /// Resolves `flags` (which hold the environment already) over the file at `config`.
    ///
    /// # Errors
    /// Everything that is wrong with them.
    pub fn load(config: Option<&Path>, flags: ServerLayer) -> Result<Self, SettingsError> {
        let layer = flags.over(read(config)?);
        let mut problems = Vec::new();
        let mut settings = Self::default();
        let state_directory = layer.state_dir.clone().unwrap_or_else(|| environment::state_directory("server"));
        settings.state_directory = std::path::absolute(&state_directory).unwrap_or(state_directory);
        settings.behind_proxy = layer.behind_proxy.unwrap_or(false);
        keep(tls_files(&layer, &mut settings), &mut problems);
        keep(listen(&layer, &mut settings), &mut problems);
        keep(database_url(&layer, &mut settings), &mut problems);
        keep(root_key(&layer, &mut settings), &mut problems);
        times(&layer, &mut settings, &mut problems);
        SettingsError::unless_empty(problems, settings)
    }
}

type Checked = Result<(), SettingsProblem>;

fn keep(result: Checked, problems: &mut Vec<SettingsProblem>) {
    problems.extend(result.err());
}

fn listen(layer: &ServerLayer, settings: &mut ServerSettings) -> Checked {
    let Some(text) = &layer.listen else { return Ok(()) };
    let address: SocketAddr = text.replace("localhost:", "127.0.0.1:").parse().map_err(|_| {
        let hint = "an IP address and a port, `127.0.0.1:7077`, `0.0.0.0:443`, `[::]:443`";
        SettingsProblem::new("listen", format!("`{text}` is not an address to listen on"), hint)
    })?;
    let plain_is_safe = settings.tls_key.is_some() || settings.behind_proxy;
    if !address.ip().is_loopback() && !plain_is_safe {
        let hint = "give `tls_certificate` and `tls_key`, or `behind_proxy = true` if a proxy ends TLS, or listen on \
                    127.0.0.1";
        return Err(SettingsProblem::new("listen", format!("{address} is not loopback and there is no TLS"), hint));
    }
    settings.listen = address;
    Ok(())
}

fn tls_files(layer: &ServerLayer, settings: &mut ServerSettings) -> Checked {
    match (&layer.tls_certificate, &layer.tls_key) {
        (None, None) => {}
        (Some(_), Some(key)) => {
            secret_file::read(key).map_err(|error| unreadable("tls_key", &error))?;
        }
        (Some(_), None) => {
            return Err(SettingsProblem::new("tls_key", "is not set", "a certificate needs its private key"));
        }
        (None, Some(_)) => {
            return Err(SettingsProblem::new("tls_certificate", "is not set", "a private key needs its certificate"));
        }
    }
    settings.tls_certificate.clone_from(&layer.tls_certificate);
    settings.tls_key.clone_from(&layer.tls_key);
    Ok(())
}

fn unreadable(place: &str, error: &SecretFileError) -> SettingsProblem {
    SettingsProblem { place: place.to_owned(), message: error.to_string(), hint: error.hint() }
}

fn database_url(layer: &ServerLayer, settings: &mut ServerSettings) -> Checked {
    settings.database_url = match (&layer.database_url, &layer.database_url_file) {
        (None, None) => None,
        (Some(url), None) => {
            check_database_url(url)?;
            Some(Secret::new(url.clone()))
        }
        (None, Some(file)) => Some(secret_file::read(file).map_err(|error| unreadable("database_url_file", &error))?),
        (Some(_), Some(_)) => {
            let message = "is set together with `database_url_file`";
            return Err(SettingsProblem::new("database_url", message, "give one of the two"));
        }
    };
    Ok(())
}

fn root_key(layer: &ServerLayer, settings: &mut ServerSettings) -> Checked {
    settings.root_key = match (&layer.root_key_file, environment::credential("root.key")) {
        (Some(path), _) => {
            if !path.is_file() {
                let message = format!("{} is not a file", path.display());
                return Err(SettingsProblem::new(
                    "root_key_file",
                    message,
                    "correct the path, or leave the setting out",
                ));
            }
            KeySource::File(path.clone())
        }
        (None, Some(path)) => KeySource::Credential(path),
        (None, None) => KeySource::StateDirectory,
    };
    Ok(())
}

fn check_database_url(url: &str) -> Checked {
    if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
        let hint = "`postgres://user@host/database`, or leave it out for SQLite in the state directory";
        return Err(SettingsProblem::new("database_url", "is not the URL of a PostgreSQL database", hint));
    }
    let has_password = Url::parse(url).is_ok_and(|url| {
        url.password().is_some() || url.query_pairs().any(|(name, _)| name.eq_ignore_ascii_case("password"))
    });
    if has_password {
        let hint = "other users of this host can see flags and variables; write the URL into a file (mode 0600) and \
                    give it as `database_url_file`";
        return Err(SettingsProblem::new("database_url", "contains a password", hint));
    }
    Ok(())
}

fn times(layer: &ServerLayer, settings: &mut ServerSettings, problems: &mut Vec<SettingsProblem>) {
    let limits = [
        ("lease", layer.lease, &mut settings.lease, 5, 3600),
        ("hold", layer.hold, &mut settings.hold, 1, 300),
        ("session", layer.session, &mut settings.session, 60, 604_800),
    ];
    for (place, given, setting, least, most) in limits {
        let Some(given) = given else { continue };
        let allowed = Duration::from_secs(least)..=Duration::from_secs(most);
        if allowed.contains(&given.0) {
            *setting = given.0;
        } else {
            let hint = format!("from {} to {}", Span(*allowed.start()), Span(*allowed.end()));
            problems.push(SettingsProblem::new(place, format!("{given} is out of range"), hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::ServerLayer;
    use crate::settings::ServerSettings;

    fn places(layer: ServerLayer) -> Vec<String> {
        match ServerSettings::load(None, layer) {
            Ok(_) => Vec::new(),
            Err(error) => error.problems.into_iter().map(|problem| problem.place).collect(),
        }
    }

    fn listening(address: &str) -> ServerLayer {
        ServerLayer { listen: Some(address.to_owned()), ..ServerLayer::default() }
    }

    fn file(directory: &tempfile::TempDir, name: &str, content: &str, mode: u32) -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn plain_is_for_loopback_unless_a_proxy_ends_tls() {
        assert!(places(listening("127.0.0.1:0")).is_empty());
        assert!(places(listening("[::1]:7077")).is_empty());
        assert!(places(listening("localhost:7077")).is_empty());
        assert_eq!(places(listening("0.0.0.0:7077")), ["listen"]);
        assert_eq!(places(listening("192.0.2.1:7077")), ["listen"]);
        assert!(places(ServerLayer { behind_proxy: Some(true), ..listening("0.0.0.0:7077") }).is_empty());
    }

    #[test]
    fn certificate_and_key_come_together_and_the_key_is_private() {
        let directory = tempfile::tempdir().unwrap();
        let (certificate, key) = (file(&directory, "c", "pem", 0o644), file(&directory, "k", "pem", 0o600));
        let tls = |certificate: Option<&PathBuf>, key: Option<&PathBuf>| ServerLayer {
            tls_certificate: certificate.cloned(),
            tls_key: key.cloned(),
            ..listening("0.0.0.0:0")
        };
        assert!(places(tls(Some(&certificate), Some(&key))).is_empty());
        assert_eq!(places(tls(Some(&certificate), None))[0], "tls_key");
        assert_eq!(places(tls(None, Some(&key)))[0], "tls_certificate");
        assert_eq!(places(tls(Some(&certificate), Some(&certificate)))[0], "tls_key");
    }

    #[test]
    fn a_database_password_is_taken_from_a_file_alone() {
        let with = |url: &str| ServerLayer { database_url: Some(url.to_owned()), ..ServerLayer::default() };
        assert!(places(with("postgres://nigari@db.example/nigari")).is_empty());
        let error = ServerSettings::load(None, with("postgres://nigari:hunter22@db/nigari")).unwrap_err().to_string();
        assert!(error.contains("database_url_file") && !error.contains("hunter22"), "{error}");
        assert_eq!(places(with("postgres://db/nigari?password=hunter22")), ["database_url"]);
        assert_eq!(places(with("sqlite:/tmp/nigari.db")), ["database_url"]);
        let directory = tempfile::tempdir().unwrap();
        let url = file(&directory, "url", "postgres://nigari:hunter22@db/nigari\n", 0o600);
        let settings =
            ServerSettings::load(None, ServerLayer { database_url_file: Some(url.clone()), ..ServerLayer::default() })
                .unwrap();
        assert!(settings.database_url.unwrap().expose().ends_with("@db/nigari"));
        std::fs::set_permissions(&url, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(
            places(ServerLayer { database_url_file: Some(url), ..ServerLayer::default() }),
            ["database_url_file"]
        );
    }

    #[test]
    fn times_have_limits() {
        let layer = ServerLayer {
            lease: Some("1s".parse().unwrap()),
            hold: Some("10m".parse().unwrap()),
            ..ServerLayer::default()
        };
        assert_eq!(places(layer), ["lease", "hold"]);
    }
}
