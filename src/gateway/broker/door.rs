//! The proxy's own side: `CONNECT` with the nonce, nothing else.
//!
//! Rule: a connection either becomes one of a registry of this run, ended here, or is passed through; nobody without
//! the nonce gets so far, nor holds up who has it.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;

use super::body::{self, Body};
use super::crowd::{Crowd, Place, Stranger};
use super::ended::{self, Ended};
use super::outside::{Outside, OutsideError, Stream};
use super::record::Record;
use super::refusal::refuse;
use super::target::Target;
use super::tunnel::Tunnel;
use crate::gateway::nonce::{Nonce, PASSING, USER};
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
    pub(super) outside: Outside,
    pub(super) record: Arc<Record>,
    pub(super) crowd: Arc<Crowd>,
    /// How long a connection that is passed through may be silent.
    pub(super) silence: Duration,
}

/// What a connection becomes once `CONNECT` is answered.
enum Next {
    /// A registry's, by its key.
    Registry(OnUpgrade, String),
    /// Somebody else's.
    Tunnel(OnUpgrade, Stream, Tunnel),
}

/// One connection before it has become something.
struct Visit {
    stranger: Stranger,
    got: Mutex<Got>,
}

#[derive(Default)]
struct Got {
    /// Kept until the connection ends.
    place: Option<Place>,
    next: Option<Next>,
}

/// Serves one connection until its end.
pub(super) async fn serve(stream: TcpStream, door: Arc<Door>) {
    // Small requests and answers go to and fro.
    let _ = stream.set_nodelay(true);
    let visit = Visit { stranger: door.crowd.enter(), got: Mutex::default() };
    let service = service_fn(|request| async { Ok::<_, Infallible>(door.knock(request, &visit).await) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    let conversation = server.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::select! {
        ended = conversation => {
            if ended.is_err() {
                return;
            }
        }
        () = visit.stranger.must_go() => return,
    }
    let Got { place: _place, next } = visit.got.into_inner().unwrap_or_else(PoisonError::into_inner);
    match next {
        Some(Next::Registry(upgrade, key)) => {
            if let (Ok(upgraded), Some(ended)) = (upgrade.await, door.registries.get(&key)) {
                ended::serve(upgraded, ended).await;
            }
        }
        Some(Next::Tunnel(upgrade, outside, tunnel)) => {
            if let Ok(upgraded) = upgrade.await {
                // How it ended is the business of the two ends.
                let _ = tunnel.pass(TokioIo::new(upgraded), outside).await;
            }
        }
        None => {}
    }
}

impl Visit {
    fn got(&self) -> MutexGuard<'_, Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a place for it, now that it has shown the nonce.
    async fn has_place(&self) -> bool {
        if self.got().place.is_none() {
            let place = self.stranger.take_place().await;
            self.got().place = place;
        }
        self.got().place.is_some()
    }
}

impl Door {
    async fn knock(&self, mut request: Request<Incoming>, visit: &Visit) -> Response<Body> {
        let (user, target) = match wanted(&self.nonce, &request) {
            Ok(wanted) => wanted,
            Err(refused) => return *refused,
        };
        if !visit.has_place().await {
            return self.full();
        }
        let upgrade = hyper::upgrade::on(&mut request);
        let key = target.registry_host();
        let decided = if user == USER && self.registries.contains_key(&key) {
            Next::Registry(upgrade, key)
        } else {
            let host = target.to_string();
            match self.outside.connect(&target).await {
                Ok(outside) => {
                    self.record.connection(&host);
                    let tunnel = Tunnel { host, record: Arc::clone(&self.record), silence: self.silence };
                    Next::Tunnel(upgrade, outside, tunnel)
                }
                Err(error) => return self.unreached(&host, &error),
            }
        };
        visit.got().next = Some(decided);
        Response::new(body::empty())
    }

    fn unreached(&self, host: &str, error: &OutsideError) -> Response<Body> {
        let text = format!("`{host}`: {error}");
        self.record.fault(text.clone());
        let status = match error {
            OutsideError::Unresolved(Unresolved::Forbidden(_)) => StatusCode::FORBIDDEN,
            OutsideError::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        };
        refuse(status, "UNAVAILABLE", &text)
    }

    fn full(&self) -> Response<Body> {
        let text = "too many connections of the step at the same time";
        self.record.fault(text.to_owned());
        let mut response = refuse(StatusCode::SERVICE_UNAVAILABLE, "TOOMANYREQUESTS", text);
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        response
    }
}

/// As which user a client has shown the nonce, and whom it wants to be connected with, if it may.
pub(super) fn wanted<B>(nonce: &Nonce, request: &Request<B>) -> Result<(&'static str, Target), Box<Response<Body>>> {
    let shown = request.headers().get(header::PROXY_AUTHORIZATION);
    let user = [USER, PASSING].into_iter().find(|user| nonce.is_of(user, shown));
    let Some(user) = user else { return Err(Box::new(stranger())) };
    if request.method() != Method::CONNECT {
        let why = "only `https` goes through the broker of a run; hint: use an address that begins with `https://`";
        return Err(Box::new(refuse(StatusCode::FORBIDDEN, "DENIED", why)));
    }
    let target = request.uri().authority().and_then(|authority| Target::of_connect(authority.as_str()));
    let target = target.map(|target| (user, target));
    target.ok_or_else(|| Box::new(refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "CONNECT needs `host:port`")))
}

fn stranger() -> Response<Body> {
    let mut response = refuse(StatusCode::PROXY_AUTHENTICATION_REQUIRED, "UNAUTHORIZED", "this proxy is a run's own");
    response.headers_mut().insert(header::PROXY_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"nigari\""));
    response
}
