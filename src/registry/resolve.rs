//! From names to addresses: `*.localhost` is this host, and some addresses are never contacted.
//!
//! Rule: what was checked is what is connected to, because the check is in the resolver itself; so a name that changes
//! its address between two look-ups gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use super::realm::is_local_name;

/// Every address of a name is one that is never contacted.
#[derive(Debug, thiserror::Error)]
#[error("it has a link-local, multicast or unspecified address")]
pub struct ForbiddenAddress;

/// Whether an address is never contacted: link-local (cloud metadata), multicast, broadcast, unspecified, and AWS'
/// metadata address in IPv6. Private and loopback addresses are allowed: registries live there.
pub fn is_forbidden(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_link_local() || address.is_multicast() || address.is_broadcast() || address.octets()[0] == 0
        }
        IpAddr::V6(address) => match embedded_ipv4(address) {
            Some(inner) => is_forbidden(inner.into()),
            None => {
                address.is_unicast_link_local()
                    || address.is_multicast()
                    || address.is_unspecified()
                    || address == Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254)
            }
        },
    }
}

/// The IPv4 address that an IPv6 address stands for: mapped, compatible, NAT64 (RFC 6052), 6to4 (RFC 3056).
pub(super) fn embedded_ipv4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match address.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            of(high, low)
        }
        _ => None,
    }
}

/// Whether a URL's host is a literal that is never contacted; names are checked when they are resolved.
pub fn is_forbidden_literal(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => is_forbidden(address.into()),
        Some(Host::Ipv6(address)) => is_forbidden(address.into()),
        _ => false,
    }
}

/// Why a name has no address to connect to.
#[derive(Debug, thiserror::Error)]
pub enum Unresolved {
    /// One of its addresses is never contacted.
    #[error(transparent)]
    Forbidden(#[from] ForbiddenAddress),
    /// The resolver knows none.
    #[error("the name cannot be resolved")]
    Unknown(#[from] std::io::Error),
}

/// The addresses of a name or literal, all of which may be contacted.
pub async fn addresses(name: &str, port: u16) -> Result<Vec<SocketAddr>, Unresolved> {
    let addresses: Vec<SocketAddr> = if is_local_name(name) {
        vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()]
    } else {
        tokio::net::lookup_host((name, port)).await?.collect()
    };
    if addresses.iter().any(|address| is_forbidden(address.ip())) {
        return Err(ForbiddenAddress.into());
    }
    Ok(addresses)
}

/// The host's own resolver with these rules.
#[derive(Debug)]
pub(super) struct CheckedResolver;

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            match addresses(name.as_str(), 0).await {
                Ok(addresses) => Ok(Box::new(addresses.into_iter()) as Addrs),
                Err(Unresolved::Forbidden(forbidden)) => Err(forbidden.into()),
                Err(Unresolved::Unknown(error)) => Err(error.into()),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Resolve as _, is_forbidden};

    #[test]
    fn metadata_addresses_are_forbidden_in_every_form() {
        for text in [
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "fe80::1",
            "ff02::1",
            "::",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::a9fe:a9fe",
            "64:ff9b::a9fe:a9fe",
            "2002:a9fe:a9fe::1",
        ] {
            assert!(is_forbidden(text.parse().unwrap()), "{text}");
        }
        for text in
            ["127.0.0.1", "10.0.0.1", "192.168.0.1", "::1", "fd00::1", "8.8.8.8", "2606:4700::1", "::ffff:10.0.0.1"]
        {
            assert!(!is_forbidden(text.parse().unwrap()), "{text}");
        }
    }

    #[tokio::test]
    async fn names_below_localhost_are_this_host() {
        for name in ["registry.localhost", "localhost", "A.LocalHost"] {
            let addresses: Vec<_> = super::CheckedResolver.resolve(name.parse().unwrap()).await.unwrap().collect();
            assert!(!addresses.is_empty() && addresses.iter().all(|address| address.ip().is_loopback()), "{name}");
        }
    }
}
