//! Which headers pass, in both directions.
//!
//! Rule: a list of those that do; everything else stays here: whatever belongs to one hop, what could carry an
//! authorisation to the registry, and what could carry the registry's challenge, or its cookies, to the child.

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use url::{Host, Url};

use crate::registry::is_forbidden_literal;

/// From the child to the registry. No `Accept-Encoding`: what comes is hashed as it is.
const UP: [HeaderName; 7] = [
    header::ACCEPT,
    header::USER_AGENT,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
];

/// From the registry to the child.
const DOWN: [&str; 18] = [
    "content-type",
    "content-length",
    "content-range",
    "content-encoding",
    "content-disposition",
    "accept-ranges",
    "etag",
    "last-modified",
    "cache-control",
    "date",
    "link",
    "location",
    "warning",
    "docker-content-digest",
    "docker-distribution-api-version",
    "oci-subject",
    "oci-filters-applied",
    "x-terraform-get",
];

/// Bytes of all headers of an answer.
const MOST: usize = 64 * 1024;

/// What goes to the registry.
pub(super) fn up(headers: &HeaderMap) -> HeaderMap {
    let mut kept = HeaderMap::new();
    for name in &UP {
        for value in headers.get_all(name) {
            kept.append(name, value.clone());
        }
    }
    kept
}

/// What goes to the child; `None` when there is too much of it.
pub(super) fn down(headers: &HeaderMap) -> Option<HeaderMap> {
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if bytes > MOST {
        return None;
    }
    let mut kept = HeaderMap::new();
    for (name, value) in headers.iter().filter(|(name, _)| DOWN.contains(&name.as_str())) {
        kept.append(name, value.clone());
    }
    Some(kept)
}

/// Whether a redirect from `url` may be handed to the child: to `https` anywhere, because registries keep their blobs
/// elsewhere, but not to an address that is never contacted, and not with a user in it.
pub(super) fn is_sound_redirect(url: &Url, location: &HeaderValue) -> bool {
    let Some(target) = location.to_str().ok().and_then(|text| url.join(text).ok()) else { return false };
    let has_host = target.host().is_some_and(|host| host != Host::Domain(""));
    has_host
        && target.scheme() == "https"
        && target.username().is_empty()
        && target.password().is_none()
        && !is_forbidden_literal(&target)
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    use super::{down, is_sound_redirect, up};

    fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        headers.iter().map(pair).collect()
    }

    #[test]
    fn neither_authorisation_nor_challenge_nor_hops_pass() {
        let child = map(&[
            ("accept", "a/b"),
            ("range", "bytes=0-1"),
            ("authorization", "Basic x"),
            ("proxy-authorization", "Basic x"),
            ("cookie", "a=b"),
            ("connection", "x-own"),
            ("x-own", "1"),
            ("host", "evil.example"),
            ("x-forwarded-for", "1"),
            ("upgrade", "h2c"),
            ("te", "trailers"),
            ("accept-encoding", "gzip"),
            ("content-length", "5"),
        ]);
        assert_eq!(up(&child), map(&[("accept", "a/b"), ("range", "bytes=0-1")]));
        let registry = map(&[
            ("content-type", "a/b"),
            ("docker-content-digest", "sha256:0"),
            ("www-authenticate", "Bearer realm=\"x\""),
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("connection", "close"),
            ("alt-svc", "h3"),
            ("authorization", "Basic x"),
            ("upgrade", "h2"),
        ]);
        assert_eq!(down(&registry).unwrap(), map(&[("content-type", "a/b"), ("docker-content-digest", "sha256:0")]));
        assert!(down(&map(&[("x-giant", &"a".repeat(70_000))])).is_none());
    }

    #[test]
    fn redirects_go_to_https_elsewhere_and_to_nothing_worse() {
        let url = "https://registry.example/v2/a/blobs/sha256:0".parse().unwrap();
        let is_sound = |text: &str| is_sound_redirect(&url, &HeaderValue::from_bytes(text.as_bytes()).unwrap());
        for text in
            ["https://storage.example/x?sig=1", "/v2/b/blobs/x", "x", "//cdn.example/x", "https://10.0.0.1:9000/x"]
        {
            assert!(is_sound(text), "{text}");
        }
        for text in [
            "http://registry.example/x",
            "http://storage.example/x",
            "ftp://x/",
            "file:///etc/passwd",
            "https://u:p@x/",
            "https://registry.example@evil.example/",
            "https://169.254.169.254/latest",
            "https://0xa9fea9fe/",
            "https://[fd00:ec2::254]/",
            "https://[::ffff:169.254.169.254]/",
            "https://",
            "https:///",
            "data:,x",
            "javascript:1",
            "https://0.0.0.0/",
            "\u{e9}://x",
        ] {
            assert!(!is_sound(text), "{text}");
        }
    }
}
