//! The client itself: one pool of connections to one server.
//!
//! Rule: connections are kept, because a run's steps must not pay a handshake each; nothing is remembered of what went
//! over them.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use super::address::ServerAddress;
use super::error::{ClientError, Context, ErrorKind};
use super::token::TokenSource;
use crate::tls;

/// Idle connections that are kept: the long poll's, the renewing thread's, the step's and one to spare.
const IDLE_CONNECTIONS: usize = 4;
/// How long an idle connection is kept; below what proxies usually allow.
const IDLE: Duration = Duration::from_secs(55);
/// How long to wait for a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// What a client can be told.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// Private authority of the server's certificate, PEM, in addition to the host's roots.
    pub ca_pem: Option<String>,
    /// How long to wait for an answer, and for each further piece of one; long polls wait their hold longer.
    pub timeout: Duration,
    /// `User-Agent`.
    pub user_agent: String,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            ca_pem: None,
            timeout: Duration::from_secs(30),
            user_agent: concat!("nigari/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// HTTP client of one server. Clones share connections and token.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) server: ServerAddress,
    pub(super) token: TokenSource,
    pub(super) timeout: Duration,
    pub(super) login_hint: &'static str,
    pub(super) has_ca: bool,
}

impl Client {
    /// A client; nothing is sent yet. Fails when the private authority cannot be read or the host has no roots at all.
    pub fn new(server: ServerAddress, token: TokenSource, options: ClientOptions) -> Result<Self, ClientError> {
        let login_hint = "the token is unknown, expired or revoked: `nigari login` takes a new one";
        let has_ca = options.ca_pem.as_deref().is_some_and(|pem| !pem.trim().is_empty());
        let context =
            Context { operation: "prepare requests".to_owned(), server: server.to_string(), login_hint, has_ca };
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .user_agent(options.user_agent)
            .connect_timeout(CONNECT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true)
            .tcp_keepalive(Duration::from_secs(30))
            .https_only(server.is_tls());
        if server.is_loopback() {
            let here = [SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), SocketAddr::from((Ipv6Addr::LOCALHOST, 0))];
            builder = builder.no_proxy().resolve_to_addrs("localhost", &here);
        }
        builder = if server.is_tls() {
            let extra = tls::roots_with(options.ca_pem.as_deref()).map_err(|error| {
                context.error(ErrorKind::Refused("the CA file is not usable".to_owned())).caused_by(error)
            })?;
            builder.tls_certs_merge(extra)
        } else {
            // No TLS will be spoken, and reading the host's roots costs milliseconds.
            builder.tls_certs_only([])
        };
        let http = builder.build().map_err(|error| context.transport(error))?;
        Ok(Self { http, server, token, timeout: options.timeout, login_hint, has_ca })
    }

    /// The server that this client talks to.
    pub fn server(&self) -> &ServerAddress {
        &self.server
    }
}
