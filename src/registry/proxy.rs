//! The operator's own proxy, by which this host reaches the outside.
//!
//! Rule: its address may carry a password, so it is a secret until it is used, and no message shows it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::client::proxy::matcher::Matcher;
use zeroize::Zeroizing;

use super::exceptions::Exceptions;
use crate::secret::Secret;

/// A proxy for `https`, and the hosts that are reached without it, as `HTTPS_PROXY` and `NO_PROXY` would have said it.
#[derive(Debug)]
pub struct OutwardProxy {
    url: Secret,
    exceptions: Exceptions,
}

impl OutwardProxy {
    /// `http://[user:password@]host:port`, and names, domains and networks, separated by commas, that are reached
    /// without it. `None` when no proxy can have that address.
    pub fn new(url: Secret, exceptions: Exceptions) -> Option<Self> {
        let found = Self { url, exceptions };
        // Without a scheme it is `http`, as for Go and curl.
        let is_known =
            found.url.expose().split_once("://").is_none_or(|(scheme, _)| matches!(scheme, "http" | "https"));
        (is_known && found.for_requests().is_ok()).then_some(found)
    }

    /// User and password in the address of any proxy, as they are sent and not as the address spells them.
    pub fn login_of(url: &Secret) -> Option<(String, Secret)> {
        let proxies = Matcher::builder().all(url.expose()).build();
        let proxy = proxies.intercept(&hyper::Uri::from_static("https://any.invalid/"))?;
        if let Some((user, password)) = proxy.raw_auth() {
            return Some((user.to_owned(), password.into()));
        }
        let encoded = proxy.basic_auth()?.as_bytes().strip_prefix(b"Basic ")?;
        let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
        Some((user.to_owned(), password.into()))
    }

    /// What a value of `NO_PROXY` says.
    pub fn exceptions_of(list: &Secret) -> Exceptions {
        list.expose().into()
    }

    /// The hosts that are reached without it; neither of the following knows them.
    pub fn exceptions(&self) -> &Exceptions {
        &self.exceptions
    }

    /// For requests of our own.
    pub(super) fn for_requests(&self) -> reqwest::Result<reqwest::Proxy> {
        reqwest::Proxy::https(self.url.expose())
    }

    /// For connections that are passed through.
    pub fn matcher(&self) -> Matcher {
        Matcher::builder().https(self.url.expose()).build()
    }
}

#[cfg(test)]
mod tests {
    use super::OutwardProxy;

    #[test]
    fn it_has_an_address_a_login_and_exceptions() {
        let proxy = OutwardProxy::new("http://u:p@proxy.example:3128".into(), "*.corp,10.0.0.0/8".into()).unwrap();
        let matcher = proxy.matcher();
        let through = |uri: &'static str| matcher.intercept(&hyper::Uri::from_static(uri));
        assert_eq!(through("https://ghcr.io/").unwrap().uri(), "http://proxy.example:3128/");
        assert_eq!(through("https://ghcr.io/").unwrap().basic_auth().unwrap(), "Basic dTpw");
        assert!(proxy.exceptions().has("r.corp", 443) && proxy.exceptions().has("10.1.2.3", 5000));
        assert!(!format!("{proxy:?}").contains("u:p"));
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for url in ["http://[", "ftp://proxy.example", ""] {
            assert!(OutwardProxy::new(url.into(), "".into()).is_none(), "{url}");
        }
    }
}
