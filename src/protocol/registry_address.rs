//! Addresses of registries and their normal form: host, optional port, optional repository path.
//!
//! Rule: two spellings of one registry have one normal form, so that uniqueness and the choice of a credential never
//! depend on how somebody typed it. All names of Docker Hub are one registry, `registry-1.docker.io`, the only name
//! with which OpenTofu can authenticate there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

use super::limits::URL_BYTES;

/// The host of Docker Hub that serves `/v2/`.
pub const DOCKER_HUB: &str = "registry-1.docker.io";

/// What people call Docker Hub.
const DOCKER_HUB_NAMES: &[&str] = &[
    "docker.io",
    "index.docker.io",
    "registry-1.docker.io",
    "hub.docker.com",
    "www.docker.io",
    "registry.hub.docker.com",
];

/// A registry, or one path of it: `host[:port][/path]` in normal form (lower case, no `:443`, no trailing `/`).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RegistryAddress {
    host: String,
    path: Option<String>,
}

/// What is wrong with an address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidAddress {
    /// Nothing there.
    #[error("the registry URL is empty; hint: for example `https://ghcr.io`")]
    Empty,
    /// Over the limit.
    #[error("the registry URL has more than {URL_BYTES} bytes; hint: give only the host and, if needed, a path")]
    TooLong,
    /// `http://` or another scheme.
    #[error("`{0}://` is not possible: OpenTofu talks to registries by https alone; hint: use `https://`")]
    Scheme(String),
    /// `user@` or `user:password@`.
    #[error("the registry URL contains a user name or password; hint: give them separately, never in the URL")]
    UserInfo,
    /// `?…` or `#…`.
    #[error("the registry URL contains a query or fragment; hint: leave out everything from `?` or `#` on")]
    Query,
    /// Host cannot be one.
    #[error("`{0}` is not a registry host; hint: for example `https://ghcr.io` or `https://registry.example.com:5000`")]
    Host(String),
    /// Path cannot be one of repositories.
    #[error(
        "`{0}` is not a repository path; hint: lower-case words of letters, digits, `.`, `_`, `-`, joined by `/`, no tag"
    )]
    Path(String),
}

impl RegistryAddress {
    /// `host` or `host:port`, as the key that OpenTofu compares with the module source.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The repository path, if this address is narrower than the whole registry: no leading or trailing `/`.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Whether this is Docker Hub, or a path of it.
    pub fn is_docker_hub(&self) -> bool {
        self.host == DOCKER_HUB
    }

    /// Whether a repository on a host is within this address: same host, whole segments of the path.
    pub fn covers(&self, host: &str, repository: &str) -> bool {
        self.host == host
            && self.path.as_deref().is_none_or(|path| {
                repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// The address as a URL for people: `https://host[:port][/path]`.
    pub fn to_url(&self) -> String {
        format!("https://{self}")
    }
}

impl fmt::Display for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)?;
        match &self.path {
            Some(path) => write!(f, "/{path}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for RegistryAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RegistryAddress {
    type Err = InvalidAddress;

    /// Reads `https://host[:port][/path]`, or the same without the scheme.
    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let text = text.trim();
        if text.is_empty() {
            return Err(InvalidAddress::Empty);
        }
        if text.len() > URL_BYTES {
            return Err(InvalidAddress::TooLong);
        }
        let with_scheme = match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("https") => text.to_owned(),
            Some((scheme, _)) => return Err(InvalidAddress::Scheme(scheme.chars().take(20).collect())),
            None => format!("https://{text}"),
        };
        if with_scheme.contains(['?', '#']) {
            return Err(InvalidAddress::Query);
        }
        if with_scheme.contains('@') {
            return Err(InvalidAddress::UserInfo);
        }
        // The URL parser takes `\` for `/` and drops control characters; neither belongs into an address.
        if with_scheme.contains(|c: char| c == '\\' || c == '%' || c.is_control() || c.is_whitespace()) {
            return Err(InvalidAddress::Host(text.chars().filter(|c| !c.is_control()).collect()));
        }
        let url = Url::parse(&with_scheme).map_err(|_| InvalidAddress::Host(text.to_owned()))?;
        let host = normal_host(&url).ok_or_else(|| InvalidAddress::Host(text.to_owned()))?;
        let raw_path =
            with_scheme.get("https://".len()..).and_then(|rest| rest.split_once('/')).map_or("", |(_, path)| path);
        Ok(Self { path: normal_path(raw_path)?, host })
    }
}

fn normal_host(url: &Url) -> Option<String> {
    let host = url.host_str().filter(|host| !host.is_empty() && !host.ends_with('.') && !host.contains('*'))?;
    let named = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    if !named && !host.starts_with('[') {
        return None;
    }
    if url.port() == Some(0) {
        return None;
    }
    // `Url` has already lower-cased the host and dropped the scheme's own port 443.
    Some(match url.port() {
        None if DOCKER_HUB_NAMES.contains(&host) => DOCKER_HUB.to_owned(),
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    })
}

fn normal_path(raw: &str) -> Result<Option<String>, InvalidAddress> {
    let path = raw.trim_end_matches('/');
    // `/v1/` and `/v2/` alone are where the API begins (`docker login` writes the former for Docker Hub).
    if path.is_empty() || path == "v1" || path == "v2" {
        return Ok(None);
    }
    let word = |segment: &str| {
        let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let bytes = segment.as_bytes();
        bytes.first().copied().is_some_and(alphanumeric)
            && bytes.last().copied().is_some_and(alphanumeric)
            && bytes.iter().all(|&b| alphanumeric(b) || matches!(b, b'.' | b'_' | b'-'))
    };
    if path.split('/').all(word) { Ok(Some(path.to_owned())) } else { Err(InvalidAddress::Path(path.to_owned())) }
}

impl Serialize for RegistryAddress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RegistryAddress {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidAddress, RegistryAddress};

    fn normal(text: &str) -> String {
        text.parse::<RegistryAddress>().unwrap().to_string()
    }

    #[test]
    fn spellings_have_one_normal_form() {
        for text in
            ["ghcr.io", "https://ghcr.io", "HTTPS://GHCR.io/", "https://ghcr.io:443", "ghcr.io/v2/", " ghcr.io "]
        {
            assert_eq!(normal(text), "ghcr.io", "{text}");
        }
        assert_eq!(normal("https://r.example.com:5000/team-a/"), "r.example.com:5000/team-a");
        assert_eq!(normal("https://[::1]:5000"), "[::1]:5000");
    }

    #[test]
    fn all_names_of_docker_hub_are_one_registry() {
        for text in ["docker.io", "https://index.docker.io/v1/", "registry-1.docker.io", "hub.docker.com", "DOCKER.IO"]
        {
            assert_eq!(normal(text), "registry-1.docker.io", "{text}");
        }
        assert_eq!(normal("docker.io/acme"), "registry-1.docker.io/acme");
    }

    #[test]
    fn what_is_no_address_is_told_apart() {
        use InvalidAddress as E;
        let error = |text: &str| text.parse::<RegistryAddress>().unwrap_err();
        assert_eq!(error("  "), E::Empty);
        assert_eq!(error("http://ghcr.io"), E::Scheme("http".into()));
        assert_eq!(error("oci://ghcr.io/x"), E::Scheme("oci".into()));
        assert_eq!(error("https://u:p@ghcr.io"), E::UserInfo);
        assert_eq!(error("u@ghcr.io"), E::UserInfo);
        assert_eq!(error("https://ghcr.io/?a=b"), E::Query);
        assert_eq!(error("https://ghcr.io/#x"), E::Query);
        assert_eq!(error(&"a".repeat(513)), E::TooLong);
        for text in [
            "https://",
            "https://*.example.com",
            "https://a b",
            "https://exa\\mple.com",
            "ghcr.io.",
            "h:0",
            "%41.example",
        ] {
            assert!(matches!(error(text), E::Host(_)), "{text}");
        }
        for text in ["ghcr.io/Org", "ghcr.io/a//b", "ghcr.io/a/../b", "ghcr.io/a:1.0", "ghcr.io/-a", "ghcr.io/./a"] {
            assert!(matches!(error(text), E::Path(_)), "{text}");
        }
    }

    #[test]
    fn a_path_covers_whole_segments_only() {
        let address: RegistryAddress = "ghcr.io/org".parse().unwrap();
        assert!(address.covers("ghcr.io", "org"));
        assert!(address.covers("ghcr.io", "org/net"));
        assert!(!address.covers("ghcr.io", "organisation/net"));
        assert!(!address.covers("ghcr.io:443", "org/net"));
        assert!(!address.covers("evil.example", "org/net"));
    }
}
