//! Connections: accepted, served, ended.
//!
//! Rule: plain on loopback only, unless something in front ends TLS. There are only so many connections, and few of
//! them without a request whose token is good: such a one is dropped after a short time, and no more are taken while
//! there are too many. A client that does not send its request's head in time is dropped. At the end nothing new is accepted, answers under way are finished, and what does not finish in
//! time is cut off.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::ServerError;
use super::visitor::Visitor;
use crate::settings::server::ServerSettings;
use crate::tls;

/// How long a client may take for a request's head, and how long an idle connection is kept: longer than a client keeps
/// one (reqwest: 90 s), so that it is not closed under a request on its way.
const HEAD_TIME: Duration = Duration::from_secs(100);
/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIME: Duration = Duration::from_secs(15);
/// How long a connection may be without a request whose token is good.
const UNKNOWN_TIME: Duration = Duration::from_secs(10);
/// Connections without a request whose token is good.
const UNKNOWN_CONNECTIONS: usize = 256;
/// Connections at all; below the usual 1024 file descriptors, of which the database takes some. More wait to be accepted.
const CONNECTIONS: usize = 900;
/// Bytes that a request's head may have, and that a connection holds at most before its handler reads.
const BUFFER_BYTES: usize = 64 * 1024;
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
    places: Arc<Semaphore>,
    unknown: Arc<Semaphore>,
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
        Ok(Self {
            socket,
            address,
            tls,
            connections: TaskTracker::new(),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            unknown: Arc::new(Semaphore::new(UNKNOWN_CONNECTIONS)),
        })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Accepts and serves connections until dropped.
    pub(super) async fn serve(&self, router: Router, ended: &CancellationToken) {
        loop {
            // Never closed, so there is always one in the end.
            let Ok(place) = Arc::clone(&self.places).acquire_owned().await else { return };
            match self.socket.accept().await {
                Ok((stream, _)) => {
                    let Ok(among_unknown) = Arc::clone(&self.unknown).try_acquire_owned() else {
                        tracing::debug!("too many connections without a token: one is not taken");
                        continue;
                    };
                    let (tls, router, ended) = (self.tls.clone(), router.clone(), ended.clone());
                    let visitor = Visitor::unknown(among_unknown);
                    self.connections.spawn(async move {
                        serve_stream(stream, tls, Service { router, visitor }, ended).await;
                        drop(place);
                    });
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

/// What answers the requests of one connection.
struct Service {
    router: Router,
    visitor: Visitor,
}

async fn serve_stream(stream: TcpStream, tls: Option<TlsAcceptor>, service: Service, ended: CancellationToken) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set a socket's option");
    }
    let Some(tls) = tls else { return serve_connection(stream, service, ended).await };
    let handshake = tokio::select! {
        handshake = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)) => handshake,
        () = ended.cancelled() => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_connection(stream, service, ended).await,
        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn serve_connection<S>(stream: S, service: Service, ended: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Service { router, visitor } = service;
    let seen = visitor.clone();
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(seen.clone());
        let (router, under_way) = (router.clone(), seen.begin());
        async move {
            let answer = router.oneshot(request).await;
            drop(under_way);
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), answer);
    let mut connection = std::pin::pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = ended.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
        () = stays_unknown(&visitor) => {
            tracing::debug!("a connection without a request whose token is good is dropped");
            return;
        }
    };
    if let Err(error) = result {
        tracing::debug!(%error, "a connection broke");
    }
}

/// Returns when the caller has had the time for a request and is still unknown, between two requests.
async fn stays_unknown(visitor: &Visitor) {
    loop {
        tokio::time::sleep(UNKNOWN_TIME).await;
        if visitor.is_known() {
            return std::future::pending().await;
        }
        if visitor.is_idle() {
            return;
        }
    }
}
