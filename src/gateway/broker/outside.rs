//! Connections to the outside: straight, or through the operator's own proxy.
//!
//! Rule: never to an address that is never contacted, and a proxy's password is in no message.

use std::borrow::Cow;
use std::error::Error;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;
use zeroize::Zeroizing;

use super::target::Target;
use crate::registry::{Exceptions, OutwardProxy, Unresolved, addresses};
use crate::tls::{self, ConnectFailure, InvalidCa};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// Bytes of the head with which a proxy answers.
const HEAD_BYTES: usize = 16 * 1024;

/// A connection: plain, or in TLS as far as the proxy.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutsideError {
    /// No address, or a forbidden one.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    /// It took too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// The operator's proxy does not take part.
    #[error("the operator's proxy: {0}")]
    Proxy(Cow<'static, str>),
}

/// The ways out of this host.
#[derive(Debug)]
pub(super) struct Outside {
    proxies: Matcher,
    exceptions: Exceptions,
    /// For a proxy whose address begins with `https://`.
    tls: Option<Arc<ClientConfig>>,
}

impl Outside {
    /// Through this proxy, or those of this process; whom to trust, besides the host's own roots, that it is the proxy.
    pub(super) fn new(proxy: Option<&OutwardProxy>, roots: Option<&str>) -> Result<Self, InvalidCa> {
        let proxies = proxy.map_or_else(Matcher::from_env, OutwardProxy::matcher);
        let any = hyper::Uri::from_static("https://any.invalid/");
        let wants_tls = proxies.intercept(&any).is_some_and(|proxy| proxy.uri().scheme_str() == Some("https"));
        let tls = wants_tls.then(|| tls::client_config(roots)).transpose()?;
        let exceptions = proxy.map(|proxy| proxy.exceptions().clone()).unwrap_or_default();
        Ok(Self { proxies, exceptions, tls: tls.map(Arc::new) })
    }

    /// Connects to where the child wants to go.
    pub(super) async fn connect(&self, target: &Target) -> Result<Stream, OutsideError> {
        let connected = async {
            let uri = format!("https://{target}/").parse().ok();
            let is_straight = target.is_here() || self.exceptions.has(&target.name(), target.port());
            let proxy = uri.and_then(|uri| self.proxies.intercept(&uri));
            if let Some(proxy) = proxy.filter(|_| !is_straight) {
                return self.by_proxy(target, &proxy).await;
            }
            let addresses = addresses(&target.name(), target.port()).await?;
            let stream = TcpStream::connect(addresses.as_slice()).await?;
            stream.set_nodelay(true)?;
            Ok(Either::Left(stream))
        };
        tokio::time::timeout(CONNECT, connected).await.unwrap_or(Err(OutsideError::TimedOut))
    }

    async fn by_proxy(&self, target: &Target, proxy: &Intercept) -> Result<Stream, OutsideError> {
        // A literal that is never contacted is not asked for through somebody else either.
        if target.is_literal() {
            addresses(&target.name(), target.port()).await?;
        }
        let uri = proxy.uri();
        let host = uri.host().ok_or(refused("its address has no host"))?.trim_matches(['[', ']']);
        let (tls, port) = match (uri.scheme_str(), &self.tls) {
            (Some("http"), _) => (None, 80),
            (Some("https"), Some(tls)) => (Some(TlsConnector::from(Arc::clone(tls))), 443),
            _ => return Err(refused("only `http://` and `https://` proxies are supported")),
        };
        let stream =
            TcpStream::connect((host, uri.port_u16().unwrap_or(port))).await.map_err(|error| reason(&error))?;
        stream.set_nodelay(true)?;
        let mut stream = match tls {
            None => Either::Left(stream),
            Some(tls) => {
                let name = ServerName::try_from(host.to_owned()).map_err(|_| refused("its address has no host"))?;
                Either::Right(Box::new(tls.connect(name, stream).await.map_err(|error| reason(&error))?))
            }
        };
        ask(&mut stream, target, proxy).await?;
        Ok(stream)
    }
}

/// Asks a proxy for the connection.
async fn ask(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    target: &Target,
    proxy: &Intercept,
) -> Result<(), OutsideError> {
    let mut head = Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes());
    if let Some(authorization) = proxy.basic_auth() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    let broken = |error: io::Error| reason(&error);
    stream.write_all(&head).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the child.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= HEAD_BYTES {
            return Err(refused("its answer has no end"));
        }
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    match answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) {
        Some(b"200") => Ok(()),
        Some(b"407") => Err(refused("it wants another user or password (407)")),
        Some(status) if status.iter().all(u8::is_ascii_digit) => {
            let status = String::from_utf8_lossy(status);
            Err(OutsideError::Proxy(format!("it refuses the connection with status {status}").into()))
        }
        _ => Err(refused("its answer is not HTTP")),
    }
}

fn refused(why: &'static str) -> OutsideError {
    OutsideError::Proxy(why.into())
}

/// Why a proxy cannot be talked to.
fn reason(error: &(dyn Error + 'static)) -> OutsideError {
    match ConnectFailure::find(error) {
        Some(failure) => OutsideError::Proxy(failure.to_string().into()),
        None => OutsideError::Proxy("it cannot be reached".into()),
    }
}
