//! The proxy's own side: `CONNECT` with the nonce, nothing else.
//!
//! Rule: a connection either becomes one of a registry of this run, ended here, or is passed through; nobody without
//! the nonce gets so far.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::body::{self, Body};
use super::ended::{self, Ended};
use super::record::Record;
use super::refusal::refuse;
use super::target::Target;
use super::tunnel::{self, TunnelError};
use crate::gateway::nonce::Nonce;
use crate::registry::Unresolved;

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(30);
/// Bytes of a request's head.
pub(super) const HEAD_BYTES: usize = 16 * 1024;

/// What every connection needs.
pub(super) struct Door {
    pub(super) nonce: Nonce,
    /// By `host[:port]`.
    pub(super) registries: HashMap<String, Ended>,
    pub(super) proxies: Matcher,
    pub(super) record: Arc<Record>,
}

/// What a connection becomes once `CONNECT` is answered.
enum Next {
    /// A registry's, by its key.
    Registry(OnUpgrade, String),
    /// Somebody else's.
    Tunnel(OnUpgrade, TcpStream, String),
}

/// Serves one connection until its end.
pub(super) async fn serve(stream: TcpStream, door: Arc<Door>) {
    // Small requests and answers go to and fro.
    let _ = stream.set_nodelay(true);
    let next = Mutex::new(None);
    let service = service_fn(|request| async { Ok::<_, Infallible>(door.knock(request, &next).await) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    if server.serve_connection(TokioIo::new(stream), service).with_upgrades().await.is_err() {
        return;
    }
    match next.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(Next::Registry(upgrade, key)) => {
            if let (Ok(upgraded), Some(ended)) = (upgrade.await, door.registries.get(&key)) {
                ended::serve(upgraded, ended).await;
            }
        }
        Some(Next::Tunnel(upgrade, outside, host)) => {
            if let Ok(upgraded) = upgrade.await {
                // How it ended is the business of the two ends.
                let _ = tunnel::pass(TokioIo::new(upgraded), outside, &door.record, &host).await;
            }
        }
        None => {}
    }
}

impl Door {
    async fn knock(&self, mut request: Request<Incoming>, next: &Mutex<Option<Next>>) -> Response<Body> {
        let target = match wanted(&self.nonce, &request) {
            Ok(target) => target,
            Err(refused) => return *refused,
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let key = target.registry_host();
        let decided = if self.registries.contains_key(&key) {
            Next::Registry(upgrade, key)
        } else {
            let host = target.to_string();
            match tunnel::connect(&target, &self.proxies).await {
                Ok(outside) => {
                    self.record.connection(&host);
                    Next::Tunnel(upgrade, outside, host)
                }
                Err(error) => return self.unreached(&host, &error),
            }
        };
        *next.lock().unwrap_or_else(PoisonError::into_inner) = Some(decided);
        Response::new(body::empty())
    }

    fn unreached(&self, host: &str, error: &TunnelError) -> Response<Body> {
        let text = format!("`{host}`: {error}");
        self.record.fault(text.clone());
        let status = match error {
            TunnelError::Unresolved(Unresolved::Forbidden(_)) => StatusCode::FORBIDDEN,
            TunnelError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        refuse(status, "UNAVAILABLE", &text)
    }
}

/// Whom a client wants to be connected with, if it may.
pub(super) fn wanted<B>(nonce: &Nonce, request: &Request<B>) -> Result<Target, Box<Response<Body>>> {
    if !nonce.is_in(request.headers().get(header::PROXY_AUTHORIZATION)) {
        return Err(Box::new(stranger()));
    }
    if request.method() != Method::CONNECT {
        let why = "only `https` goes through the broker of a run; hint: use an address that begins with `https://`";
        return Err(Box::new(refuse(StatusCode::FORBIDDEN, "DENIED", why)));
    }
    let target = request.uri().authority().and_then(|authority| Target::of_connect(authority.as_str()));
    target.ok_or_else(|| Box::new(refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "CONNECT needs `host:port`")))
}

fn stranger() -> Response<Body> {
    let mut response = refuse(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "UNAUTHORIZED", "this proxy is a run's own");
    response.headers_mut().insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"nigari\""));
    response
}
