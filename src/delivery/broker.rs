//! The delivery `broker`: tofu gets a proxy, and no credential at all.
//!
//! Rule: what the step can read is worth nothing elsewhere and nothing afterwards: a proxy on loopback with a nonce, and
//! the certificate of an authority of this step. The operator's own tokens for module registries stay here as well.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    Beside, Delivered, Delivery, DeliveryError, Pending, Surroundings, Witnessed, ca_bundle, cli_config, docker_config,
};
use crate::gateway::broker::{Broker, Plan, Seen};
use crate::protocol::agent::RegistryCredential;
use crate::registry::upstream::Patience;
use crate::registry::{OutwardProxy, is_loopback_host};
use crate::sandbox::SecretFile;
use crate::secret::Secret;
use crate::tofu::cli_configuration::OperatorConfiguration;

/// What it means, in a sentence for people.
pub(super) const MEANING: &str = "tofu had no credential: the broker on loopback asked the registries for it, by GET \
                                  and HEAD, during the fetch step alone";

/// The one proxy that the step has. Go prefers the first spelling, curl the second.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];
const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// An exception that is none: were the variable empty, Go would read the other spelling.
const NO_EXCEPTION: &str = "none.invalid";

pub(super) struct BrokerDelivery {
    broker: Broker,
    ca_bundle: String,
    operator: Arc<OperatorConfiguration>,
    receipt: Pending,
}

/// The broker beside the step.
#[derive(Debug)]
struct Open(Broker);

/// Hosts that Go programs never reach by a proxy, so that no broker can serve them: credentials and tokens for them
/// need another way.
pub(super) fn out_of_reach(credentials: &[RegistryCredential], operator: &OperatorConfiguration) -> Vec<String> {
    let registries = credentials.iter().map(|credential| credential.address.host().to_owned());
    registries.chain(operator.token_hosts()).filter(|host| is_loopback_host(host)).collect()
}

impl BrokerDelivery {
    pub(super) async fn open(
        credentials: Vec<RegistryCredential>,
        surroundings: Surroundings<'_>,
    ) -> Result<Self, DeliveryError> {
        let receipt = Pending {
            delivery: "broker",
            meaning: MEANING,
            hosts: credentials.iter().map(|credential| credential.address.to_string()).collect(),
            began_at: surroundings.clock.now(),
        };
        let operator = Arc::clone(surroundings.operator);
        let proxy = surroundings.passed.and_then(outward_proxy);
        let roots = surroundings.system_roots.map(ca_bundle::named).transpose()?;
        let (tokens, services) = (operator.tokens(), operator.services());
        let plan = Plan { credentials, tokens, services, roots, proxy, patience: Patience::default() };
        let broker = Broker::open(plan, surroundings.clock).await?;
        let ca_bundle = ca_bundle::with(&[broker.authority()], surroundings.system_roots)?;
        Ok(Self { broker, ca_bundle, operator, receipt })
    }
}

impl Delivery for BrokerDelivery {
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError> {
        let mut variables = docker_config::variables(directory);
        variables.push(cli_config::variable(directory));
        variables.push(ca_bundle::variable(directory));
        variables.extend(PROXY.map(|name| (name.to_owned(), self.broker.proxy())));
        // git (curl) does more than GET, and trusts no file that we could name: it goes to these hosts by itself.
        let exceptions = [Secret::from(NO_EXCEPTION), Secret::new(self.broker.ended().join(","))];
        variables.extend(EXCEPTIONS.map(str::to_owned).into_iter().zip(exceptions));
        let docker_config = directory.join(docker_config::NAME);
        let files = vec![
            cli_config::for_fetch_by_broker(&self.operator, &docker_config)?,
            SecretFile { path: docker_config::NAME.into(), content: docker_config::text(&[])? },
            SecretFile { path: ca_bundle::NAME.into(), content: Secret::new(self.ca_bundle) },
        ];
        Ok(Delivered { files, variables, beside: Some(Box::new(Open(self.broker))), receipt: self.receipt })
    }
}

impl Beside for Open {
    /// Whoever has the nonce may ask, and only the step has it.
    fn started(&mut self, _process: i32) {}

    fn close(self: Box<Self>) -> Pin<Box<dyn Future<Output = Witnessed> + Send>> {
        Box::pin(async move {
            let Seen { used, pulled, notes, faults } = self.0.close().await;
            Witnessed { used, pulled, notes, faults }
        })
    }
}

/// The proxy that the step would have had by the operator's wish: the broker goes through it instead.
fn outward_proxy(passed: &[(String, Secret)]) -> Option<OutwardProxy> {
    let value = |names: &[&str]| {
        let named = |name: &&str| passed.iter().find(|(known, value)| known == name && !value.is_empty());
        names.iter().find_map(named).map(|(_, value)| value)
    };
    let url = value(&PROXY).or_else(|| value(&["ALL_PROXY", "all_proxy"]))?;
    let exceptions = value(&EXCEPTIONS).map_or_else(|| Secret::from(""), Secret::duplicate);
    let found = OutwardProxy::new(url.duplicate(), exceptions);
    if found.is_none() {
        tracing::warn!("the proxy that is passed to runs has no address that could be read; it is not used");
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{out_of_reach, outward_proxy};
    use crate::delivery::tests::credential;
    use crate::tofu::cli_configuration::OperatorConfiguration;

    #[test]
    fn only_loopback_hosts_are_out_of_reach() {
        let none = OperatorConfiguration::none();
        let hosts =
            ["localhost:5000", "127.0.0.1:5000", "[::1]:5000", "registry.localhost:5000", "ghcr.io", "10.0.0.1"];
        let credentials: Vec<_> = hosts.iter().map(|host| credential(host, "u", "p")).collect();
        assert_eq!(out_of_reach(&credentials, &none), ["localhost:5000", "127.0.0.1:5000", "[::1]:5000"]);
    }

    #[test]
    fn the_proxy_that_is_passed_to_runs_is_the_brokers() {
        let passed = |pairs: &[(&str, &str)]| {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            outward_proxy(&pairs).is_some()
        };
        assert!(passed(&[("https_proxy", "http://p:3128")]) && passed(&[("ALL_PROXY", "http://p:3128")]));
        assert!(passed(&[("HTTPS_PROXY", ""), ("https_proxy", "http://p:3128")]));
        assert!(!passed(&[("HTTP_PROXY", "http://p:3128")]) && !passed(&[("HTTPS_PROXY", "http://[")]));
    }
}
