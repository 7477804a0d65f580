//! Which credential goes which way.
//!
//! Rule: what was asked for is never replaced by something weaker; `auto` takes a weaker way only where the better one
//! cannot work.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::protocol::agent::RegistryCredential;
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::registry_address::RegistryAddress;

/// One way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Added on the wire.
    Broker,
    /// Asked for by tofu.
    Helper,
    /// Read by tofu.
    File,
}

/// The credentials of one run, each with its way.
#[derive(Debug, Default)]
pub(super) struct Chosen {
    pub(super) broker: Vec<RegistryCredential>,
    pub(super) helper: Vec<RegistryCredential>,
    pub(super) file: Vec<RegistryCredential>,
}

/// The way for one registry.
fn choose(wish: DeliveryChoice, address: &RegistryAddress) -> Way {
    match wish {
        DeliveryChoice::File => Way::File,
        DeliveryChoice::Helper => Way::Helper,
        DeliveryChoice::Broker => Way::Broker,
        DeliveryChoice::Auto if is_loopback(address.host()) => Way::Helper,
        DeliveryChoice::Auto => Way::Broker,
    }
}

/// Sorts them.
pub(super) fn sort(wish: DeliveryChoice, credentials: Vec<RegistryCredential>) -> Chosen {
    let mut chosen = Chosen::default();
    for credential in credentials {
        match choose(wish, &credential.address) {
            Way::Broker => chosen.broker.push(credential),
            Way::Helper => chosen.helper.push(credential),
            Way::File => chosen.file.push(credential),
        }
    }
    chosen
}

/// Whether Go programs connect to it themselves whatever proxy they are given (`golang.org/x/net/http/httpproxy`):
/// `localhost` and loopback addresses, but not `*.localhost`.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback())
        || name.parse::<Ipv6Addr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::{Way, choose, is_loopback};
    use crate::protocol::delivery::DeliveryChoice;

    #[test]
    fn loopback_is_what_go_never_uses_a_proxy_for() {
        for host in ["localhost", "localhost:5000", "LOCALHOST:1", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"]
        {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["registry.localhost:5000", "localhost.example", "ghcr.io", "10.0.0.1:5000", "[::2]", "128.0.0.1"] {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn auto_takes_the_helper_where_no_proxy_is_used_and_a_wish_is_a_wish() {
        let way = |wish, host: &str| choose(wish, &host.parse().unwrap());
        assert_eq!(way(DeliveryChoice::Auto, "localhost:5000"), Way::Helper);
        assert_eq!(way(DeliveryChoice::Auto, "registry.localhost:5000"), Way::Broker);
        assert_eq!(way(DeliveryChoice::Auto, "ghcr.io/acme"), Way::Broker);
        for host in ["localhost:5000", "ghcr.io"] {
            assert_eq!(way(DeliveryChoice::File, host), Way::File);
            assert_eq!(way(DeliveryChoice::Helper, host), Way::Helper);
            assert_eq!(way(DeliveryChoice::Broker, host), Way::Broker);
        }
    }
}
