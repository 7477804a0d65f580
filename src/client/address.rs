//! Where the server is.
//!
//! Rule: `https`, or `http` to this very machine; an address that cannot be used is refused before anything is sent.

use std::fmt;
use std::str::FromStr;

use url::{Host, Url};

/// The server's origin: `https://host[:port]`, or `http://` on loopback.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerAddress(Url);

/// What is wrong with a server's address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum InvalidServer {
    /// Not a URL.
    #[error("`{0}` is not the address of a server; hint: for example `https://nigari.example.com`")]
    NotAUrl(String),
    /// Plain HTTP to another machine.
    #[error(
        "`http://{0}` would send tokens over the network in plain; hint: use `https://`; `http://` is only for `127.0.0.1`, `localhost` and `[::1]`"
    )]
    Plain(String),
    /// `user@` or `user:password@`.
    #[error(
        "the server's address contains a user name or password; hint: leave it out, `nigari login` takes the token"
    )]
    UserInfo,
    /// A path, query or fragment.
    #[error("the server's address has something behind the host; hint: only `https://host` or `https://host:port`")]
    Path,
}

impl ServerAddress {
    /// Whether the server is on this very machine, by its address.
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        }
    }

    /// Whether requests go over TLS.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The address below which routes are; its path is `/`.
    pub fn url(&self) -> &Url {
        &self.0
    }

    /// Host name or address, and port.
    pub(super) fn endpoint(&self) -> (&str, u16) {
        (self.0.host_str().unwrap_or_default(), self.0.port_or_known_default().unwrap_or(443))
    }
}

impl FromStr for ServerAddress {
    type Err = InvalidServer;

    fn from_str(text: &str) -> Result<Self, InvalidServer> {
        let text = text.trim();
        let unusable = || InvalidServer::NotAUrl(text.chars().filter(|c| !c.is_control()).take(100).collect());
        // Before anything that would repeat the text.
        if text.contains('@') {
            return Err(InvalidServer::UserInfo);
        }
        let url = Url::parse(text).map_err(|_| unusable())?;
        let Some(host) = url.host() else { return Err(unusable()) };
        match url.scheme() {
            "https" => {}
            "http" => {
                let here = match &host {
                    Host::Domain(name) => *name == "localhost",
                    Host::Ipv4(address) => address.octets() == [127, 0, 0, 1],
                    Host::Ipv6(address) => address.is_loopback(),
                };
                if !here {
                    return Err(InvalidServer::Plain(host.to_string()));
                }
            }
            _ => return Err(unusable()),
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(InvalidServer::Path);
        }
        Ok(Self(url))
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str().trim_end_matches('/'))
    }
}

impl fmt::Debug for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::{InvalidServer, ServerAddress};

    #[test]
    fn https_anywhere_and_http_here() {
        for (text, shown) in [
            ("https://nigari.example.com/", "https://nigari.example.com"),
            ("https://NIGARI.example.com:8443", "https://nigari.example.com:8443"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://localhost:8080/", "http://localhost:8080"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
    }

    #[test]
    fn plain_http_to_another_machine_is_refused() {
        for text in [
            "http://nigari.example.com",
            "http://10.0.0.1",
            "http://127.0.0.2",
            "http://localhost.evil.example",
            "http://[::ffff:127.0.0.1]",
            "http://0.0.0.0",
            "http://x.localhost",
        ] {
            assert!(matches!(text.parse::<ServerAddress>(), Err(InvalidServer::Plain(_))), "{text}");
        }
        // The URL parser reads these as 127.0.0.1, and that is where the connection goes.
        assert!("http://0x7f.1".parse::<ServerAddress>().unwrap().is_loopback());
    }

    #[test]
    fn what_is_no_address_is_told_apart() {
        let error = |text: &str| text.parse::<ServerAddress>().unwrap_err();
        for text in ["", "nigari.example.com", "ftp://x", "https://", "unix:///run/x", "localhost:8080"] {
            assert!(matches!(error(text), InvalidServer::NotAUrl(_)), "{text}");
        }
        assert_eq!(error("https://u:geheim@x"), InvalidServer::UserInfo);
        assert!(!error("https://u:geheim@x").to_string().contains("geheim"));
        for text in ["https://x/api", "https://x/?a", "https://x/#a"] {
            assert_eq!(error(text), InvalidServer::Path, "{text}");
        }
    }
}
