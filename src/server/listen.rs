//! Connections: accepted, served, ended.
//!
//! Rule: plain on loopback only, unless something in front ends TLS. A client that does not send its request's head in
//! time is dropped. At the end nothing new is accepted, answers under way are finished, and what does not finish in
//! time is cut off.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::ServerError;
use crate::settings::server::ServerSettings;
use crate::tls;

/// How long a client may take for a request's head, and how long an idle connection is kept: longer than a client keeps
/// one (reqwest: 90 s), so that it is not closed under a request on its way.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// How long answers under way may take once the server is to end.
const DRAIN_TIME: Duration = Duration::from_secs(10);
/// How long to wait after accepting failed: out of file descriptors, most likely.
const BREATHER: Duration = Duration::from_millis(100);

/// Listens.
pub(super) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    tls: Option<TlsAcceptor>,
    connections: TaskTracker,
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Listener({})", self.address)
    }
}

impl Listener {
    /// Listens on the address of the settings, if it may.
    pub(super) async fn bind(settings: &ServerSettings) -> Result<Self, ServerError> {
        let address = settings.listen;
        let tls = match (&settings.tls_certificate, &settings.tls_key) {
            (Some(certificate), Some(key)) => Some(Arc::new(tls::server_config(certificate, key)?).into()),
            (None, None) if address.ip().is_loopback() || settings.behind_proxy => None,
            (None, None) => return Err(ServerError::Plain(address)),
            _ => return Err(ServerError::HalfTls),
        };
        let failed = |source| ServerError::Listen { address, source };
        let socket = TcpListener::bind(address).await.map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, address, tls, connections: TaskTracker::new() })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves connections until dropped.
    pub(super) async fn serve(&self, router: Router, ended: &CancellationToken) {
        loop {
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    let (tls, router, ended) = (self.tls.clone(), router.clone(), ended.clone());
                    self.connections.spawn(serve_stream(stream, tls, router, ended));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            }
        }
    }

    /// Waits for the connections to end, not for ever.
    pub(super) async fn drain(self) {
        drop(self.socket);
        self.connections.close();
        if tokio::time::timeout(DRAIN_TIME, self.connections.wait()).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
        }
    }
}

async fn serve_stream(stream: TcpStream, tls: Option<TlsAcceptor>, router: Router, ended: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set a socket's option");
    }
    let Some(tls) = tls else { return serve_connection(stream, router, ended).await };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)) => handshake,
        () = ended.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_connection(stream, router, ended).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_connection<S>(stream: S, router: Router, ended: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = ended.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}
