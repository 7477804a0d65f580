//! Which credential goes which way.
//!
//! Rule: what was asked for is never replaced by something weaker; `auto` takes a weaker way only where the better one
//! cannot work, and only for what it cannot work for.

use super::DeliveryError;
use crate::protocol::agent::RegistryCredential;
use crate::protocol::delivery::DeliveryChoice;
use crate::registry::is_loopback_host;
use crate::tofu::cli_configuration::OperatorConfiguration;

/// The credentials of one run with their way.
#[derive(Debug)]
pub(super) enum Chosen {
    /// The proxy; beside it the credential helper for what no proxy can serve.
    Broker(ForBroker),
    /// The credential helper alone.
    Helper(Vec<RegistryCredential>),
    /// A file.
    File(Vec<RegistryCredential>),
}

/// What the broker serves, and what it cannot.
#[derive(Debug)]
pub(super) struct ForBroker {
    pub(super) served: Vec<RegistryCredential>,
    /// Registries that Go programs never reach by a proxy: for the credential helper.
    pub(super) out_of_reach: Vec<RegistryCredential>,
    /// Such hosts for which the operator has a token: tofu has to find these itself, and no others.
    pub(super) tokens_out_of_reach: Vec<String>,
}

/// Chooses for all of them. The operator's own tokens for module registries take the same way.
pub(super) fn choose(
    credentials: Vec<RegistryCredential>,
    wish: DeliveryChoice,
    operator: &OperatorConfiguration,
) -> Result<Chosen, DeliveryError> {
    match wish {
        DeliveryChoice::File => return Ok(Chosen::File(credentials)),
        DeliveryChoice::Helper => return Ok(Chosen::Helper(credentials)),
        DeliveryChoice::Auto | DeliveryChoice::Broker => {}
    }
    let (out_of_reach, served): (Vec<_>, Vec<_>) =
        credentials.into_iter().partition(|credential| is_loopback_host(credential.address.host()));
    let tokens = operator.token_hosts();
    let tokens_out_of_reach: Vec<String> = tokens.iter().filter(|host| is_loopback_host(host)).cloned().collect();
    if wish == DeliveryChoice::Broker && !(out_of_reach.is_empty() && tokens_out_of_reach.is_empty()) {
        let hosts = out_of_reach.iter().map(|credential| credential.address.host().to_owned());
        return Err(DeliveryError::OutOfReach(hosts.chain(tokens_out_of_reach).collect()));
    }
    if served.is_empty() && tokens.is_empty() && !out_of_reach.is_empty() {
        return Ok(Chosen::Helper(out_of_reach));
    }
    Ok(Chosen::Broker(ForBroker { served, out_of_reach, tokens_out_of_reach }))
}

/// Whether tofu itself comes to hold one of these credentials, so that its version matters.
pub fn tofu_holds(credentials: &[RegistryCredential], wish: DeliveryChoice) -> bool {
    match wish {
        DeliveryChoice::Broker => false,
        DeliveryChoice::Auto => credentials.iter().any(|credential| is_loopback_host(credential.address.host())),
        DeliveryChoice::Helper | DeliveryChoice::File => !credentials.is_empty(),
    }
}

/// The way that the credential of one registry host takes with this wish, as `choose` has it for all of a run's;
/// `None` where what is wished for cannot serve it.
pub fn of_host(registry_host: &str, wish: DeliveryChoice) -> Option<DeliveryChoice> {
    match (wish, is_loopback_host(registry_host)) {
        (DeliveryChoice::Auto, true) => Some(DeliveryChoice::Helper),
        (DeliveryChoice::Auto, false) => Some(DeliveryChoice::Broker),
        (DeliveryChoice::Broker, true) => None,
        (wish, _) => Some(wish),
    }
}

#[cfg(test)]
mod tests {
    use super::{Chosen, choose, of_host, tofu_holds};
    use crate::delivery::DeliveryError;
    use crate::delivery::tests::credential;
    use crate::protocol::delivery::DeliveryChoice::{self, Auto, Broker, File, Helper};
    use crate::tofu::cli_configuration::OperatorConfiguration;

    /// The hosts of each way: broker, helper, file.
    fn chosen(hosts: &[&str], wish: DeliveryChoice) -> Result<[Vec<String>; 3], DeliveryError> {
        let names = |credentials: Vec<crate::protocol::agent::RegistryCredential>| -> Vec<String> {
            credentials.iter().map(|credential| credential.address.to_string()).collect()
        };
        let credentials = hosts.iter().map(|host| credential(host, "u", "p")).collect();
        Ok(match choose(credentials, wish, &OperatorConfiguration::none())? {
            Chosen::Broker(all) => [names(all.served), names(all.out_of_reach), Vec::new()],
            Chosen::Helper(all) => [Vec::new(), names(all), Vec::new()],
            Chosen::File(all) => [Vec::new(), Vec::new(), names(all)],
        })
    }

    #[test]
    fn auto_takes_the_helper_only_for_what_no_proxy_can_serve() {
        let hosts = ["ghcr.io/acme", "localhost:5000", "registry.localhost:5000", "127.0.0.1:1", "[::1]:2"];
        let [broker, helper, file] = chosen(&hosts, Auto).unwrap();
        assert_eq!(broker, ["ghcr.io/acme", "registry.localhost:5000"]);
        assert_eq!(helper, ["localhost:5000", "127.0.0.1:1", "[::1]:2"]);
        assert!(file.is_empty());
        assert_eq!(chosen(&["localhost:5000"], Auto).unwrap()[1], ["localhost:5000"]);
    }

    #[test]
    fn a_wish_is_a_wish() {
        let hosts = ["ghcr.io", "localhost:5000"];
        assert_eq!(chosen(&hosts, Helper).unwrap()[1], hosts);
        assert_eq!(chosen(&hosts, File).unwrap()[2], hosts);
        assert_eq!(chosen(&["ghcr.io"], Broker).unwrap()[0], ["ghcr.io"]);
        let refused = chosen(&hosts, Broker).unwrap_err();
        assert!(matches!(refused, DeliveryError::OutOfReach(hosts) if hosts == ["localhost:5000"]));
    }

    #[test]
    fn of_one_host_the_same_is_said_as_is_done_for_all() {
        for host in ["ghcr.io", "localhost:5000", "registry.localhost:5000", "[::1]:2"] {
            for wish in [Auto, Broker, Helper, File] {
                let way = of_host(host, wish).map(|way| usize::from(way == Helper) + 2 * usize::from(way == File));
                let done = chosen(&[host], wish).ok();
                let done = done.map(|ways| ways.iter().position(|hosts| !hosts.is_empty()).unwrap());
                assert_eq!(way, done, "{host} {wish}");
            }
        }
    }

    #[test]
    fn tofus_version_matters_where_tofu_has_a_credential() {
        let of = |host: &str| vec![credential(host, "u", "p")];
        for (host, wish, holds) in [
            ("ghcr.io", Auto, false),
            ("localhost:1", Auto, true),
            ("ghcr.io", Broker, false),
            ("ghcr.io", Helper, true),
            ("ghcr.io", File, true),
        ] {
            assert_eq!(tofu_holds(&of(host), wish), holds, "{host} {wish}");
        }
        assert!(!tofu_holds(&[], File));
    }
}
