//! The proxy's reading of requests, fed with anything.
//!
//! Rule: nobody without the nonce is let through; a target means one host and the same when it is read again; a path
//! that chooses a credential is of the distribution API; of headers only those of the list pass, and no redirect leads
//! to anything but `https` elsewhere.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use super::asked::Asked;
use super::door::{HEAD_BYTES, wanted};
use super::target::Target;
use super::{body, headers};
use crate::gateway::nonce::{Nonce, USER};

/// In the input, what becomes a right login.
const LOGIN: &[u8] = b"{login}";

/// Bytes that a client may have in flight.
const IN_FLIGHT: usize = 64 * 1024;

/// What a client sends on one connection.
pub(crate) fn request(data: &[u8]) {
    let Some(nonce) = Nonce::new() else { return };
    let login = STANDARD.encode(format!("{USER}:{}", nonce.password().expose()));
    let sent = filled(data, login.as_bytes());
    let may_enter = sent != data;
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().build() else { return };
    runtime.block_on(async {
        let (client, server) = tokio::io::duplex(IN_FLIGHT);
        let service = service_fn(|request: Request<Incoming>| {
            look(&nonce, &request, may_enter);
            async { Ok::<_, Infallible>(Response::new(body::empty())) }
        });
        let serving = http1::Builder::new().max_buf_size(HEAD_BYTES).serve_connection(TokioIo::new(server), service);
        let (mut reading, mut writing) = tokio::io::split(client);
        let talking = async {
            // The other side may hang up at any time.
            let _ = writing.write_all(&sent).await;
            let _ = writing.shutdown().await;
        };
        let mut answers = Vec::new();
        let _ = tokio::join!(serving, talking, reading.read_to_end(&mut answers));
        assert!(answers.is_empty() || answers.starts_with(b"HTTP/1."), "an answer that is none");
    });
}

fn filled(data: &[u8], login: &[u8]) -> Vec<u8> {
    let mut filled = Vec::with_capacity(data.len());
    let mut rest = data;
    while let Some(at) = rest.windows(LOGIN.len()).position(|window| window == LOGIN) {
        filled.extend_from_slice(&rest[..at]);
        filled.extend_from_slice(login);
        rest = &rest[at + LOGIN.len()..];
    }
    filled.extend_from_slice(rest);
    filled
}

/// Reads a request as the proxy's own, and as one to a registry.
fn look(nonce: &Nonce, request: &Request<Incoming>, may_enter: bool) {
    if let Ok((_, target)) = wanted(nonce, request) {
        assert!(may_enter && request.method() == Method::CONNECT, "somebody was let in");
        sound(&target);
    }
    let host = request.headers().get("host").and_then(|host| host.to_str().ok());
    if let Some(target) = host.and_then(Target::of_host) {
        sound(&target);
    }
    let path = request.uri().path();
    if let Some(repository) = Asked::of(path).repository() {
        assert!(path.starts_with("/v2/") && path.contains(repository), "another repository than the path has");
        let is_word = |word: &str| !word.is_empty() && !word.starts_with('.') && !word.contains(['%', '\\', ';', ' ']);
        assert!(repository.split('/').all(is_word), "a repository that can be read in two ways");
    }
    let up = headers::up(request.headers());
    let is_ours = |name: &str| ["authorization", "cookie", "host", "connection", "proxy-authorization"].contains(&name);
    assert!(!up.keys().any(|name| is_ours(name.as_str())), "a header passes that must not");
    let Ok(base) = Url::parse("https://registry.example/v2/a/blobs/sha256:0") else { return };
    for location in request.headers().get_all("location") {
        if headers::is_sound_redirect(&base, location) {
            let target = location.to_str().ok().and_then(|text| base.join(text).ok());
            let is_plain = |url: &Url| url.scheme() == "https" && url.username().is_empty() && url.password().is_none();
            assert!(target.is_some_and(|url| is_plain(&url) && url.host_str().is_some()), "an unsound redirect");
        }
    }
}

fn sound(target: &Target) {
    let text = target.to_string();
    assert!(
        Target::of_connect(&text).as_ref() == Some(target),
        "it means something else when it is read again: {text}"
    );
    assert!(Target::of_host(&target.registry_host()).as_ref() == Some(target), "the registry's name is another");
    assert!(!target.name().contains(['@', '/', '?', '#', '%', ' ']), "no host has that name: {text}");
    let parsed = Url::parse(&format!("https://{text}/"));
    assert!(parsed.is_ok_and(|url| url.port_or_known_default() == Some(target.port())), "no URL can have it: {text}");
}
