//! Inside the TLS of a registry host of this run: the child asks, the registry is asked with the credential.
//!
//! Rule: GET and HEAD, for this very host. What the child brings as authorisation goes on only where nothing of ours
//! goes: where this run has a credential or the operator a token, it is dropped, and nothing of ours is ever beside it.
//! What the registry said of how it wants to be convinced never reaches the child.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderValue, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio_rustls::TlsAcceptor;

use super::asked::Asked;
use super::body::{self, Body, Manifest, Passage};
use super::headers;
use super::module_registry::ModuleRegistry;
use super::record::Record;
use super::refusal::refuse;
use super::target::Target;
use crate::registry::upstream::{Answer, Ask, Place, Upstream, UpstreamError};
use crate::registry::{Authorization, ExchangeError};

/// How long the child may take for its handshake.
const HANDSHAKE: Duration = Duration::from_secs(15);
/// How long a request's head may take, and how long an idle connection is kept.
const HEAD: Duration = Duration::from_secs(100);
/// Bytes of a request's head.
const HEAD_BYTES: usize = 64 * 1024;

/// A registry host of this run.
pub(super) struct Ended {
    /// `host[:port]`.
    pub(super) host: String,
    pub(super) upstream: Upstream,
    pub(super) tls: Arc<ServerConfig>,
    /// With a token of the operator's for it.
    pub(super) modules: Option<ModuleRegistry>,
    pub(super) record: Arc<Record>,
}

/// Serves one connection of the child's until its end.
pub(super) async fn serve(upgraded: Upgraded, ended: &Ended) {
    let accepted = TlsAcceptor::from(Arc::clone(&ended.tls)).accept(TokioIo::new(upgraded));
    let stream = match tokio::time::timeout(HANDSHAKE, accepted).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            let hint = "does the step trust `SSL_CERT_FILE`?";
            return ended.record.note(format!("`{}`: no TLS with the step: {error}; {hint}", ended.host));
        }
        Err(_) => return,
    };
    let service = service_fn(move |request| async move { Ok::<_, Infallible>(ended.answer(&request).await) });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES);
    // A child that goes away, and a body that breaks off, end the connection; both are no news.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

impl Ended {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        self.record.request(&self.host);
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            return refuse(
                StatusCode::METHOD_NOT_ALLOWED,
                "UNSUPPORTED",
                "only GET and HEAD go to a registry of a run",
            );
        }
        if !self.is_for_here(request.headers()) {
            let why = "the header Host names another host than the connection";
            return refuse(StatusCode::MISDIRECTED_REQUEST, "UNSUPPORTED", why);
        }
        let path_and_query = request.uri().path_and_query().map_or("", |target| target.as_str());
        let is_absolute = request.uri().authority().is_some();
        let Some(url) = self.upstream.url(path_and_query).filter(|_| !is_absolute) else {
            return refuse(StatusCode::BAD_REQUEST, "NAME_INVALID", "the path is not in its normal form");
        };
        let asked = Asked::of(url.path());
        if asked == Asked::Base && self.upstream.has_credentials() && !self.upstream.has_credential_for_all() {
            return base();
        }
        let Ok(own) = brought(request.headers()) else {
            return refuse(StatusCode::BAD_REQUEST, "UNSUPPORTED", "the header Authorization cannot be read");
        };
        let operators = || self.modules.as_ref().and_then(|modules| modules.token_for(url.path()));
        let place = asked.place().unwrap_or_else(|| Place::Elsewhere(operators()));
        let headers = headers::up(request.headers());
        let ask = Ask { method: request.method().clone(), url, headers, place, own };
        match self.upstream.ask(&ask).await {
            Ok(answer) => self.hand_on(&ask, &asked, answer).await,
            Err(error) => self.failed(&error),
        }
    }

    fn is_for_here(&self, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let target = host.to_str().ok().and_then(Target::of_host);
        target.is_some_and(|target| target.registry_host() == self.host)
    }

    /// The registry's answer as the child gets it.
    async fn hand_on(&self, ask: &Ask, asked: &Asked, answer: Answer) -> Response<Body> {
        let Answer { status, headers: given, integration, body } = answer;
        if let Some(integration) = &integration {
            self.record.shown(&self.host, integration);
        }
        self.note_refusal(asked, status, integration.as_deref());
        let Some(mut kept) = headers::down(&given) else {
            return self.broken("its answer has too many headers");
        };
        if let Some(location) = given.get(header::LOCATION)
            && !headers::is_sound_redirect(&ask.url, location)
        {
            return self
                .broken("it redirects to an address that is never handed on: no `https`, a user, or link-local");
        }
        match status.as_u16() {
            // The child speaks HTTP/1.1 with us, and has no proxy but us.
            ..200 | 407 => return self.broken("its answer makes no sense here"),
            401 => return refuse(status, "UNAUTHORIZED", &format!("`{}` wants another credential", self.host)),
            _ => {}
        }
        if let Some(modules) = &self.modules {
            modules.learn_from_headers(&ask.url, status, &given);
        }
        if ask.method == Method::HEAD || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) {
            return respond(status, kept, body::empty());
        }
        let manifest = Manifest::of(asked, &self.host, status, &given);
        let mut passage =
            Passage { body: body.ahead(), record: Arc::clone(&self.record), host: self.host.clone(), manifest };
        if let Some(modules) = &self.modules {
            match modules.learn_from_body(&ask.url, status, &given, &mut passage).await {
                Ok(Some(document)) => {
                    kept.remove(header::CONTENT_LENGTH);
                    return respond(status, kept, body::text(document));
                }
                Ok(None) => {}
                Err(_) => {
                    return self.broken("its discovery document, or its word of where a module is, cannot be read");
                }
            }
        }
        respond(status, kept, passage.into_body())
    }

    /// Whoever asks by HEAD sees a number alone, so the sentence is kept for the end of the step.
    fn note_refusal(&self, asked: &Asked, status: StatusCode, integration: Option<&str>) {
        let is_refusal = status == StatusCode::FORBIDDEN || status.as_u16() == 429 || status.is_server_error();
        if let Some(repository) = asked.repository().filter(|_| is_refusal) {
            let by = integration.map(|name| format!(" with the credential of the registry integration `{name}`"));
            let by = by.unwrap_or_default();
            self.record.fault(format!("`{}` answered {} for `{repository}`{by}", self.host, status.as_u16()));
        }
    }

    fn failed(&self, error: &UpstreamError) -> Response<Body> {
        let (status, code) = match error {
            UpstreamError::Unauthorized { .. } => (StatusCode::UNAUTHORIZED, "UNAUTHORIZED"),
            UpstreamError::TokenRefused { status, .. } if matches!(status.as_u16(), 401 | 403) => (*status, "DENIED"),
            UpstreamError::Registry { source: ExchangeError::TimedOut, .. }
            | UpstreamError::TokenService { source: ExchangeError::TimedOut, .. } => {
                (StatusCode::GATEWAY_TIMEOUT, "UNAVAILABLE")
            }
            _ => (StatusCode::BAD_GATEWAY, "UNAVAILABLE"),
        };
        // Whoever refused it has seen it.
        self.upstream.shown().for_each(|integration| self.record.shown(&self.host, integration));
        self.record.fault(error.to_string());
        refuse(status, code, &error.to_string())
    }

    fn broken(&self, why: &str) -> Response<Body> {
        let text = format!("`{}`: {why}", self.host);
        self.record.fault(text.clone());
        refuse(StatusCode::BAD_GATEWAY, "UNAVAILABLE", &text)
    }
}

/// What the child brings along itself; an error if it is no text, or there is more than one.
fn brought(headers: &HeaderMap) -> Result<Option<Authorization>, ()> {
    let mut all = headers.get_all(header::AUTHORIZATION).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => Authorization::as_sent(value).map(Some).ok_or(()),
        (Some(_), Some(_)) => Err(()),
    }
}

/// What a registry says to a client that it likes, for hosts of which only paths may be used.
fn base() -> Response<Body> {
    let mut headers = HeaderMap::new();
    headers.insert("docker-distribution-api-version", HeaderValue::from_static("registry/2.0"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    respond(StatusCode::OK, headers, body::text("{}".to_owned()))
}

fn respond(status: StatusCode, headers: HeaderMap, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}
