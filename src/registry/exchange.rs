//! One request to a registry or its token service, within bounds.
//!
//! Rule: no redirect is followed, nothing is spoken in plain, head and body come within ten seconds, and no more of a
//! body is read than asked for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use url::{Host, Url};

use super::authorization::Authorization;
use super::exceptions::Exceptions;
use super::proxy::OutwardProxy;
use super::realm::is_local_name;
use super::resolve::{CheckedResolver, ForbiddenAddress, is_forbidden_literal};
use crate::tls::{self, ConnectFailure, InvalidCa};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a whole request may take.
const WHOLE: Duration = Duration::from_secs(10);

/// Talks to registries and token services that one set of roots vouches for.
#[derive(Debug)]
pub struct Exchange {
    /// Through the system's proxies.
    outside: reqwest::Client,
    /// For listeners on this host, which no proxy reaches, and for what is reached without.
    straight: reqwest::Client,
    exceptions: Exceptions,
}

/// What to ask.
pub(super) struct Question<'q> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) accept: &'static str,
    pub(super) authorization: Option<&'q Authorization>,
    /// Bytes of the body that are wanted; 0 for none.
    pub(super) limit: usize,
}

/// An answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, as far as it was asked for.
    pub body: Bytes,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No connection.
    #[error(transparent)]
    Connect(ConnectFailure),
    /// The address is never contacted.
    #[error("its address is link-local, multicast or unspecified, and such are never contacted")]
    Forbidden,
    /// The whole took too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// What came is not HTTP, or its head is too large.
    #[error("what it answers is not HTTP")]
    NotHttp,
    /// The body is larger than it may be.
    #[error("its answer is too large")]
    TooLarge,
}

impl Exchange {
    /// With the host's roots and a private authority in addition, through the proxies of this process' environment.
    pub fn new(ca_pem: Option<&str>) -> Result<Self, InvalidCa> {
        Self::through(ca_pem, None)
    }

    /// The same, through the operator's proxy if there is one.
    pub(super) fn through(ca_pem: Option<&str>, proxy: Option<&OutwardProxy>) -> Result<Self, InvalidCa> {
        let mut tls = tls::client_config(ca_pem)?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let builder = || {
            reqwest::Client::builder()
                .redirect(reqwest::redirect::Policy::none())
                .referer(false)
                .https_only(true)
                .connect_timeout(CONNECT)
                .tcp_nodelay(true)
                .dns_resolver(CheckedResolver)
                .user_agent(concat!("nigari/", env!("CARGO_PKG_VERSION")))
                .tls_backend_preconfigured(tls.clone())
        };
        let refused = |source| InvalidCa::Refused { number: 1, source };
        let mut outside = builder();
        if let Some(proxy) = proxy {
            outside = outside.proxy(proxy.for_requests().map_err(refused)?);
        }
        Ok(Self {
            outside: outside.build().map_err(refused)?,
            straight: builder().no_proxy().build().map_err(refused)?,
            exceptions: proxy.map(|proxy| proxy.exceptions().clone()).unwrap_or_default(),
        })
    }

    /// Asks, and waits for the answer.
    pub(super) async fn ask(&self, question: Question<'_>) -> Result<Reply, ExchangeError> {
        tokio::time::timeout(WHOLE, self.ask_unbounded(question)).await.unwrap_or(Err(ExchangeError::TimedOut))
    }

    async fn ask_unbounded(&self, question: Question<'_>) -> Result<Reply, ExchangeError> {
        let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(question.accept))]);
        let mut response = self.send(question.method, question.url, headers, question.authorization).await?;
        let mut body = BytesMut::new();
        while body.len() < question.limit
            && let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))?
        {
            body.extend_from_slice(&chunk);
            if body.len() > question.limit {
                return Err(ExchangeError::TooLarge);
            }
        }
        Ok(Reply { status: response.status(), headers: response.headers().clone(), body: body.freeze() })
    }

    /// Sends a request and waits for the answer's head, without a limit of time; the body is the caller's to read.
    pub(super) async fn send(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        authorization: Option<&Authorization>,
    ) -> Result<Response, ExchangeError> {
        if is_forbidden_literal(&url) {
            return Err(ExchangeError::Forbidden);
        }
        let client = if self.is_straight(&url) { &self.straight } else { &self.outside };
        let mut request = client.request(method, url).headers(headers);
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization.header());
        }
        request.send().await.map_err(|error| failure(&error))
    }

    /// Whether no proxy leads there.
    fn is_straight(&self, url: &Url) -> bool {
        let (name, is_here) = match url.host() {
            Some(Host::Domain(name)) => (name.to_owned(), is_local_name(name)),
            Some(Host::Ipv4(address)) => (address.to_string(), address.is_loopback()),
            Some(Host::Ipv6(address)) => (address.to_string(), address.is_loopback()),
            None => return false,
        };
        is_here || self.exceptions.has(&name, url.port_or_known_default().unwrap_or_default())
    }
}

pub(super) fn failure(error: &reqwest::Error) -> ExchangeError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if error.is::<ForbiddenAddress>() {
            return ExchangeError::Forbidden;
        }
        next = error.source();
    }
    match ConnectFailure::find(error) {
        Some(ConnectFailure::TimedOut) => ExchangeError::TimedOut,
        Some(failure) => ExchangeError::Connect(failure),
        None if error.is_timeout() => ExchangeError::TimedOut,
        None => ExchangeError::NotHttp,
    }
}

impl Reply {
    /// Whether it is a web page.
    pub fn is_page(&self) -> bool {
        self.headers
            .get(reqwest::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}
