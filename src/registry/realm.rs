//! Which token services may be shown a credential: the rules that OpenTofu has from 1.11.14 and 1.12.6 on, and three
//! more.
//!
//! Rule: `https` only, no user in the URL, no address by number unless it is the registry's own, none of this host or a
//! private network unless it is the very registry. A public name is allowed, because the protocol works that way; the
//! caller says which it was.

use std::net::{IpAddr, Ipv6Addr};

use url::{Host, Url};

use super::resolve::embedded_ipv4;

/// Bytes of a realm at most.
const REALM_BYTES: usize = 2048;

/// Why a realm is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RefusedRealm {
    /// Missing, too long or not an absolute URL.
    #[error("it names no token service that could be asked")]
    Unreadable,
    /// Not `https`.
    #[error("its token service is not `https`")]
    Plain,
    /// A user, password or fragment in the URL.
    #[error("the address of its token service contains a user name or a fragment")]
    UserInfo,
    /// An address or name of this host or of a private network.
    #[error(
        "its token service is a loopback, link-local, private or unspecified address that is not the registry's own"
    )]
    PrivateAddress,
    /// A public address by number.
    #[error("its token service is an address by number that is not the registry's own")]
    Number,
}

/// Checks the realm that the registry at `registry_host` (`host[:port]`) names.
pub fn check_realm(realm: Option<&str>, registry_host: &str) -> Result<Url, RefusedRealm> {
    let text = realm.filter(|text| !text.is_empty() && text.len() <= REALM_BYTES).ok_or(RefusedRealm::Unreadable)?;
    let realm = Url::parse(text).map_err(|_| RefusedRealm::Unreadable)?;
    let registry = Url::parse(&format!("https://{registry_host}/")).map_err(|_| RefusedRealm::Unreadable)?;
    if realm.scheme() != "https" {
        return Err(RefusedRealm::Plain);
    }
    if !realm.username().is_empty() || realm.password().is_some() || realm.fragment().is_some() {
        return Err(RefusedRealm::UserInfo);
    }
    let same_host = realm.host() == registry.host();
    let same_port = realm.port_or_known_default() == registry.port_or_known_default();
    match realm.host().map(|host| literal(&host)) {
        None => Err(RefusedRealm::Unreadable),
        // The same private literal on another port is another listener of who knows whom.
        Some(Some(address)) if is_private(address) && !(same_host && same_port) => Err(RefusedRealm::PrivateAddress),
        Some(Some(_)) if !same_host => Err(RefusedRealm::Number),
        Some(None) if !same_host && realm.host_str().is_some_and(is_local_name) => Err(RefusedRealm::PrivateAddress),
        Some(_) => Ok(realm),
    }
}

fn literal(host: &Host<&str>) -> Option<IpAddr> {
    match *host {
        Host::Ipv4(address) => Some(address.into()),
        Host::Ipv6(address) => Some(address.into()),
        Host::Domain(_) => None,
    }
}

/// `localhost` and names below it, with or without the root's dot.
pub fn is_local_name(name: &str) -> bool {
    let name = name.trim_end_matches('.');
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

/// Whether `host[:port]` is one that Go programs never reach by a proxy (`golang.org/x/net/http/httpproxy`):
/// `localhost` itself and loopback addresses, but not the names below `localhost`.
pub fn is_loopback_host(host: &str) -> bool {
    let Ok(url) = Url::parse(&format!("https://{host}/")) else { return false };
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Addresses that are not of the public network.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, second, ..] = address.octets();
            address.is_private()
                || address.is_loopback()
                || address.is_link_local()
                || address.is_broadcast()
                || address.is_multicast()
                || first == 0
                // Shared address space (RFC 6598), where clouds put their own services.
                || first == 100 && (64..128).contains(&second)
        }
        IpAddr::V6(address) => match embedded_ipv4(address) {
            Some(inner) => is_private(inner.into()),
            None => {
                address.is_loopback()
                    || address.is_unspecified()
                    || address.is_multicast()
                    || Ipv6Addr::is_unique_local(&address)
                    || address.is_unicast_link_local()
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use super::{RefusedRealm, check_realm};

    fn check(realm: &str, registry: &str) -> Result<String, RefusedRealm> {
        check_realm(Some(realm), registry).map(String::from)
    }

    #[test]
    fn the_registries_own_and_public_token_services_are_allowed() {
        for (realm, registry) in [
            ("https://auth.docker.io/token", "registry-1.docker.io"),
            ("https://ghcr.io/token", "ghcr.io"),
            ("https://127.0.0.1:5000/token", "127.0.0.1:5000"),
            ("https://[::1]:5000/token", "[::1]:5000"),
            ("https://localhost:6000/token", "localhost:5000"),
            ("https://10.0.0.5/token", "10.0.0.5:443"),
            ("https://8.8.8.8/token", "8.8.8.8"),
            ("https://8.8.8.8:8443/token", "8.8.8.8:5000"),
            ("https://[2001:4860:4860::8888]/token", "[2001:4860:4860:0::8888]:5000"),
        ] {
            assert!(check(realm, registry).is_ok(), "{realm} of {registry}");
        }
    }

    #[test]
    fn private_addresses_are_refused_however_they_are_spelt() {
        for host in [
            "127.0.0.1",
            "127.1",
            "0x7f000001",
            "2130706433",
            "017700000001",
            "10.0.0.5",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "255.255.255.255",
            "224.0.0.1",
            "[::1]",
            "[::]",
            "[fe80::1]",
            "[fd00:ec2::254]",
            "[ff02::1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:a00:5]",
            "[64:ff9b::169.254.169.254]",
            "[2002:a9fe:a9fe::]",
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "localhost.",
        ] {
            assert_eq!(
                check(&format!("https://{host}/token"), "r.example"),
                Err(RefusedRealm::PrivateAddress),
                "{host}"
            );
        }
        // Another port of the very literal is another listener.
        assert_eq!(check("https://127.0.0.1:6000/", "127.0.0.1:5000"), Err(RefusedRealm::PrivateAddress));
    }

    #[test]
    fn public_addresses_by_number_are_refused_unless_they_are_the_registrys_own() {
        for host in [
            "8.8.8.8",
            "8.8.8.8:8443",
            "134744072",
            "0x08080808",
            "[2001:4860:4860::8888]",
            "[::ffff:8.8.8.8]",
            "[64:ff9b::8.8.8.8]",
        ] {
            for registry in ["r.example", "8.8.4.4", "8.8.8.8.example"] {
                let found = check(&format!("https://{host}/token"), registry);
                assert_eq!(found, Err(RefusedRealm::Number), "{host} of {registry}");
            }
        }
    }

    #[test]
    fn other_tricks_are_refused() {
        for (realm, why) in [
            ("http://auth.docker.io/token", RefusedRealm::Plain),
            ("ftp://auth.docker.io/token", RefusedRealm::Plain),
            ("file:///etc/passwd", RefusedRealm::Plain),
            ("https://u:p@auth.docker.io/token", RefusedRealm::UserInfo),
            ("https://r.example@evil.example/token", RefusedRealm::UserInfo),
            ("https://auth.docker.io/token#x", RefusedRealm::UserInfo),
            ("/token", RefusedRealm::Unreadable),
            ("token", RefusedRealm::Unreadable),
            ("", RefusedRealm::Unreadable),
            ("https://", RefusedRealm::Unreadable),
        ] {
            assert_eq!(check(realm, "r.example"), Err(why), "{realm}");
        }
        assert_eq!(check_realm(None, "r.example"), Err(RefusedRealm::Unreadable));
        assert_eq!(
            check(&format!("https://r.example/{}", "a".repeat(3000)), "r.example"),
            Err(RefusedRealm::Unreadable)
        );
    }
}
