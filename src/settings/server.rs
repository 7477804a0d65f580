//! What an operator writes for `nigari server`, as plain values: where it listens, what it keeps, how long things last.
//!
//! Rule: a value here has been read but not yet acted on; the server decides at start whether it can live with it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Settings of the server.
#[derive(Debug)]
pub struct ServerSettings {
    /// Where to listen; in plain on loopback only, unless a certificate is given or `behind_proxy` is set.
    pub listen: SocketAddr,
    /// Directory of the server's own files: `nigari.db`, `root.key`, `admin.token`, `join.token`.
    pub state_directory: PathBuf,
    /// `postgres://…`; absent: SQLite, `nigari.db` in the state directory. May contain a password.
    pub database_url: Option<Secret>,
    /// Certificate chain, PEM.
    pub tls_certificate: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether something in front ends TLS, so that plain is allowed off loopback.
    pub behind_proxy: bool,
    /// Where the root key comes from.
    pub root_key: KeySource,
    /// How long a lease lasts.
    pub lease: Duration,
    /// How long a long poll is held at most.
    pub hold: Duration,
    /// How long a session token works.
    pub session: Duration,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7077)),
            state_directory: PathBuf::from("/var/lib/nigari-server"),
            database_url: None,
            tls_certificate: None,
            tls_key: None,
            behind_proxy: false,
            root_key: KeySource::StateDirectory,
            lease: Duration::from_mins(1),
            hold: Duration::from_secs(30),
            session: Duration::from_hours(1),
        }
    }
}

/// Where the root key comes from.
#[derive(Debug)]
pub enum KeySource {
    /// `root.key` in the state directory; made there by the very first start.
    StateDirectory,
    /// A file of 32 bytes, raw or as 64 hexadecimal digits, owned by us, mode 0400 or 0600.
    File(PathBuf),
    /// A systemd credential: a file below `$CREDENTIALS_DIRECTORY`, which systemd guards.
    Credential(PathBuf),
    /// An environment variable's value, 64 hexadecimal digits. Any process of the same user can read it: warned of.
    Environment(Secret),
}
