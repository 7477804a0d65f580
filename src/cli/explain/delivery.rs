//! Which delivery a source's credential would take.
//!
//! Rule: this is the one place of `explain` that says it. What an agent, a workspace or an integration has chosen
//! otherwise comes from them.

use std::net::IpAddr;

/// The delivery that `auto` takes for a registry host.
pub(super) fn expected(registry_host: &str) -> &'static str {
    // Go programs use no proxy for a loopback host, and the broker is a proxy. `*.localhost` is none to them.
    if is_loopback(registry_host) { "helper" } else { "broker" }
}

fn is_loopback(registry_host: &str) -> bool {
    let name = match registry_host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => registry_host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::expected;

    #[test]
    fn loopback_hosts_alone_are_the_helpers() {
        for host in ["localhost", "localhost:5000", "LOCALHOST", "127.0.0.1", "127.8.9.1:5000", "[::1]:5000", "[::1]"] {
            assert_eq!(expected(host), "helper", "{host}");
        }
        for host in ["registry.localhost:5000", "ghcr.io", "10.0.0.1", "[::2]:5000", "localhost.example", ""] {
            assert_eq!(expected(host), "broker", "{host}");
        }
    }
}
