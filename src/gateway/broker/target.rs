//! Where a client of the proxy wants to go: `host:port`.
//!
//! Rule: read strictly, because the choice between *ended here with a credential* and *passed through* depends on it:
//! two spellings of one host have one normal form, and what is not clearly a host is refused.

use url::Host;

use crate::registry::is_local_name;

/// Longest name of a host (RFC 1035), with brackets and port.
const LONGEST: usize = 262;
/// The port that an address of `https` has when it names none.
const HTTPS: u16 = 443;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    host: Host,
    port: u16,
}

impl Target {
    /// The target of `CONNECT` (RFC 9110, section 9.3.6): host and port, nothing else.
    pub(super) fn of_connect(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        Self::read(text, host, port)
    }

    /// The header `Host` of a request inside: the port may be missing.
    pub(super) fn of_host(text: &str) -> Option<Self> {
        let after_literal = text.rfind(']').map_or(0, |at| at + 1);
        match text.get(after_literal..)?.rsplit_once(':') {
            Some((_, port)) => Self::read(text, text.strip_suffix(port)?.strip_suffix(':')?, port),
            None => Self::read(text, text, "443"),
        }
    }

    fn read(whole: &str, host: &str, port: &str) -> Option<Self> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
        let literal = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let spelt = match literal {
            Some(inside) => inside.bytes().all(|b| b.is_ascii_hexdigit() || matches!(b, b':' | b'.')),
            None => host.bytes().all(plain),
        };
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        if whole.len() > LONGEST || !spelt || !digits {
            return None;
        }
        let port = port.parse().ok().filter(|port| *port != 0)?;
        // Numbers in every spelling become addresses here, names lower case.
        Some(Self { host: Host::parse(host).ok()?, port })
    }

    /// As a registry is named: without the port 443.
    pub(super) fn registry_host(&self) -> String {
        if self.port == HTTPS { self.host.to_string() } else { self.to_string() }
    }

    /// Name or literal, without brackets, as a resolver and a certificate have it.
    pub(super) fn name(&self) -> String {
        match &self.host {
            Host::Ipv6(address) => address.to_string(),
            host => host.to_string(),
        }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether it is an address and no name.
    pub(super) fn is_literal(&self) -> bool {
        !matches!(self.host, Host::Domain(_))
    }

    /// Whether it is on this host, where no proxy leads.
    pub(super) fn is_here(&self) -> bool {
        match &self.host {
            Host::Domain(name) => is_local_name(name),
            Host::Ipv4(address) => address.is_loopback(),
            Host::Ipv6(address) => address.is_loopback(),
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Target;

    fn connect(text: &str) -> Option<String> {
        Target::of_connect(text).map(|target| target.registry_host())
    }

    #[test]
    fn spellings_of_a_host_have_one_form() {
        for (text, host) in [
            ("ghcr.io:443", "ghcr.io"),
            ("GHCR.io:443", "ghcr.io"),
            ("ghcr.io:0443", "ghcr.io"),
            ("registry.localhost:5000", "registry.localhost:5000"),
            ("my_host:1", "my_host:1"),
            ("127.1:5000", "127.0.0.1:5000"),
            ("0x7f000001:5000", "127.0.0.1:5000"),
            ("[::1]:5000", "[::1]:5000"),
            ("[0:0:0:0:0:0:0:1]:443", "[::1]"),
        ] {
            assert_eq!(connect(text).as_deref(), Some(host), "{text}");
        }
    }

    #[test]
    fn what_is_not_clearly_a_host_and_a_port_is_refused() {
        let long = format!("{}:443", "a".repeat(300));
        for text in [
            "",
            ":",
            "ghcr.io",
            "ghcr.io:",
            ":443",
            "ghcr.io:+443",
            "ghcr.io:-1",
            "ghcr.io:0",
            "ghcr.io:65536",
            "ghcr.io:99999999999999999999",
            "ghcr.io:443/",
            "ghcr.io:443?x",
            "u@ghcr.io:443",
            "u:p@ghcr.io:443",
            "https://ghcr.io:443",
            "gh cr.io:443",
            "ghcr.io\t:443",
            "ghcr%2eio:443",
            "ghcr.io:443:443",
            "::1:443",
            "[::1]443",
            "[::1",
            "[fe80::1%25eth0]:443",
            "[ghcr.io]:443",
            "\u{ff47}hcr.io:443",
            "a..b:443\0",
            &long,
            "*.io:443",
        ] {
            assert_eq!(connect(text), None, "{text}");
        }
    }

    #[test]
    fn a_host_header_may_leave_the_port_out() {
        let host = |text: &str| Target::of_host(text).map(|target| target.registry_host());
        assert_eq!(host("ghcr.io").as_deref(), Some("ghcr.io"));
        assert_eq!(host("ghcr.io:443").as_deref(), Some("ghcr.io"));
        assert_eq!(host("[::1]").as_deref(), Some("[::1]"));
        assert_eq!(host("[::1]:5000").as_deref(), Some("[::1]:5000"));
        for text in ["", "ghcr.io:", "a,b", "ghcr.io:443 ", "u@ghcr.io", "[::1]]:1", "::1"] {
            assert_eq!(host(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_is_refused_or_means_the_same_when_it_is_read_again(
            text in prop_oneof![".{0,40}", "[ -~]{0,40}", "[a-zA-Z0-9.\\[\\]:@/%_-]{0,30}:[0-9]{1,6}", "\\[[0-9a-f:.]{2,30}\\]:[0-9]{1,5}"]
        ) {
            if let Some(target) = Target::of_connect(&text) {
                prop_assert_eq!(Target::of_connect(&target.to_string()), Some(target.clone()));
                prop_assert_eq!(Target::of_host(&target.registry_host()), Some(target.clone()));
                prop_assert!(!target.name().contains(['@', '/', '?', '#', '%', ' ']));
                let parsed = url::Url::parse(&format!("https://{target}/")).unwrap();
                prop_assert_eq!(parsed.port_or_known_default(), Some(target.port()));
            }
            let _ = Target::of_host(&text);
        }
    }
}
