//! The delivery `broker`: tofu gets a proxy, and no credential at all.
//!
//! Rule: what the step can read is worth nothing elsewhere and nothing afterwards: a proxy on loopback with a nonce, and
//! the certificate of an authority of this step. The operator's own tokens for module registries stay here as well.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::ca_bundle::Roots;
use super::choice::ForBroker;
use super::described::Described;
use super::helper::Desk;
use super::plain_http::{EVERYTHING, EXCEPTIONS, value};
use super::token_needles::TokenNeedles;
use super::{Beside, Delivered, Delivery, DeliveryError, Pending, Surroundings, Witnessed};
use super::{ca_bundle, docker_config, meaning, plain_http};
use crate::clock::Clock;
use crate::gateway::broker::{Broker, Plan, Seen};
use crate::protocol::agent::RegistryCredential;
use crate::redact::{Needles, Redactions};
use crate::registry::OutwardProxy;
use crate::registry::upstream::Patience;
use crate::secret::Secret;
use crate::tofu::cli_configuration::KeptTokens;

/// What it means, in a sentence for people.
pub(super) const MEANING: &str = "tofu had no credential: the broker on loopback asked the registries for it, by GET \
                                  and HEAD, during the fetch step alone";

/// The one proxy that the step has. Go prefers the first spelling; curl, and with it git, the second.
const PROXY: [&str; 2] = ["HTTPS_PROXY", "https_proxy"];

pub(super) struct BrokerDelivery {
    broker: Broker,
    /// What leads the step to it.
    proxied: Vec<(String, Secret)>,
    described: Described,
    /// For the registries that no proxy can serve.
    desk: Option<Desk>,
    receipt: Pending,
    tokens: TokenNeedles,
}

/// The broker beside the step.
#[derive(Debug)]
struct Open(Broker, TokenNeedles);

impl BrokerDelivery {
    pub(super) async fn open(all: ForBroker, surroundings: &Surroundings<'_>) -> Result<Self, DeliveryError> {
        let ForBroker { served, out_of_reach, tokens_out_of_reach } = all;
        let (delivery, meaning) = match out_of_reach.as_slice() {
            [] => ("broker", MEANING),
            _ => ("broker, helper", meaning::of_broker_and_helper()),
        };
        let receipt = Pending::begin(delivery, meaning, served.iter().chain(&out_of_reach), surroundings);
        let operator = Arc::clone(surroundings.operator);
        let of = ProxyOf { credentials: served, tokens: operator.tokens(), services: operator.services() };
        let at = At {
            passed: surroundings.passed,
            system_roots: surroundings.system_roots,
            clock: surroundings.clock,
            redactions: surroundings.redactions,
        };
        let (broker, tokens) = of.open(at).await?;
        let private = out_of_reach.iter().filter_map(|credential| credential.ca_pem.as_deref());
        let authorities: Vec<&str> = private.chain([broker.authority()]).collect();
        let roots = Roots::of(surroundings.system_roots, surroundings.passed);
        let described = Described {
            docker_config: docker_config::with_helper(out_of_reach.iter().map(|credential| &credential.address)),
            ca_bundle: Some(ca_bundle::with(&authorities, roots)?),
            operator,
            tokens: KeptTokens::Of(tokens_out_of_reach),
        };
        let proxied = proxied(&broker, surroundings.passed.unwrap_or_default());
        Ok(Self { broker, proxied, described, desk: Desk::open(out_of_reach, surroundings), receipt, tokens })
    }
}

impl Delivery for BrokerDelivery {
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError> {
        let (files, mut variables) = self.described.below(directory)?;
        variables.extend(self.proxied);
        let mut delivered = Delivered::new(files, variables, self.receipt);
        delivered.beside.push(Box::new(Open(self.broker, self.tokens)));
        if let Some(desk) = self.desk {
            desk.add(&mut delivered)?;
        }
        Ok(delivered)
    }

    fn receipt(&self) -> &Pending {
        &self.receipt
    }
}

impl Beside for Open {
    /// Whoever has the nonce may ask, and only the step has it.
    fn started(&mut self, _process: i32) {}

    fn close(self: Box<Self>) -> Pin<Box<dyn Future<Output = Witnessed> + Send>> {
        Box::pin(async move {
            let Seen { used, pulled, mut notes, faults } = self.0.close().await;
            notes.extend(self.1.note());
            Witnessed { used, pulled, notes, faults }
        })
    }
}

/// What surrounds a broker.
#[derive(Debug, Clone, Copy)]
pub(super) struct At<'a> {
    /// What the operator passes to the step.
    pub(super) passed: Option<&'a [(String, Secret)]>,
    pub(super) system_roots: Option<&'a Path>,
    pub(super) clock: &'a Clock,
    pub(super) redactions: &'a Redactions,
}

/// What a broker is for.
#[derive(Debug)]
pub(super) struct ProxyOf {
    pub(super) credentials: Vec<RegistryCredential>,
    /// The operator's, by host.
    pub(super) tokens: Vec<(String, Secret)>,
    /// Host and URL.
    pub(super) services: Vec<(String, String)>,
}

impl ProxyOf {
    /// Opens it; it goes out as the step would have done. What it has to hide is hidden before anybody can use it.
    pub(super) async fn open(self, at: At<'_>) -> Result<(Broker, TokenNeedles), DeliveryError> {
        let Self { credentials, tokens, services } = self;
        let roots = at.system_roots.map(ca_bundle::named).transpose()?;
        let proxy = at.passed.and_then(outward_proxy);
        let exchanged = TokenNeedles::of(at.redactions);
        let (patience, new_tokens) = (Patience::default(), exchanged.listener());
        let plan = Plan { credentials, tokens, services, roots, proxy, patience, new_tokens };
        let broker = Broker::open(plan, at.clock).await?;
        let mut needles = Needles::new();
        broker.logins().iter().for_each(|(user, nonce)| needles.login(user, nonce));
        at.redactions.add(needles);
        Ok((broker, exchanged))
    }
}

/// The variables that lead a step to it to which the operator passes these.
pub(super) fn proxied(broker: &Broker, passed: &[(String, Secret)]) -> Vec<(String, Secret)> {
    // git (curl) does more than GET, and trusts no file that we could name: it is passed through to every host, and so
    // has the operator's proxy for all of them.
    let proxies = [broker.proxy(), broker.passing_proxy()];
    let mut variables: Vec<_> = PROXY.map(str::to_owned).into_iter().zip(proxies).collect();
    variables.extend(plain_http::variables(passed));
    variables
}

/// The proxy that the step would have had by the operator's wish: the broker goes through it instead.
fn outward_proxy(passed: &[(String, Secret)]) -> Option<OutwardProxy> {
    let url = value(passed, &PROXY).or_else(|| value(passed, &EVERYTHING))?;
    let exceptions = value(passed, &EXCEPTIONS).map(OutwardProxy::exceptions_of).unwrap_or_default();
    let found = OutwardProxy::new(url.duplicate(), exceptions);
    if found.is_none() {
        tracing::warn!("the proxy that is passed to runs has no address that could be read; it is not used");
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::outward_proxy;
    use crate::clock::Clock;
    use crate::delivery::tests::credential;
    use crate::delivery::{Delivered, NamedHosts, Surroundings, open};
    use crate::protocol::agent::RegistryCredential;
    use crate::protocol::delivery::DeliveryChoice;
    use crate::redact::Redactions;
    use crate::sandbox::{OwnProgram, Sandbox};
    use crate::tofu::cli_configuration::OperatorConfiguration;

    /// What a step gets, on a host without any roots, and with the operator's CLI configuration of this text.
    async fn delivered(credentials: Vec<RegistryCredential>, operator: &str) -> Delivered {
        crate::tls::install_provider();
        let home = tempfile::tempdir().unwrap();
        let (file, roots) = (home.path().join("operator.tfrc"), home.path().join("roots.pem"));
        std::fs::write(&file, operator).unwrap();
        std::fs::write(&roots, "").unwrap();
        let operator = Arc::new(OperatorConfiguration::read(Some(&file), None).unwrap());
        let (clock, sources, redactions) = (Clock::new(), NamedHosts::default(), Redactions::new());
        let program = Arc::new(OwnProgram::find(home.path()).unwrap());
        let surroundings = Surroundings {
            operator: &operator,
            system_roots: Some(&roots),
            clock: &clock,
            passed: None,
            wish: DeliveryChoice::Auto,
            sources: &sources,
            program: &program,
            private: home.path(),
            sandbox: Sandbox::Process,
            redactions: &redactions,
        };
        open(credentials, surroundings).await.unwrap().deliver(Path::new("/secret")).unwrap()
    }

    fn content<'d>(delivered: &'d Delivered, name: &str) -> &'d str {
        delivered.files.iter().find(|file| file.path == Path::new(name)).unwrap().content.expose()
    }

    #[tokio::test]
    async fn of_the_operators_tokens_the_file_has_those_alone_that_no_proxy_can_serve() {
        let operator = "credentials \"gitlab.com\" {\n  token = \"far-0123456789\"\n}\ncredentials \"localhost:8443\" {\n  \
                        token = \"near-0123456789\"\n}\n";
        let delivered = delivered(vec![credential("registry.example", "u", "p")], operator).await;
        let written = content(&delivered, "tofu.tfrc");
        assert!(written.contains("credentials \"localhost:8443\"") && written.contains("near-0123456789"), "{written}");
        assert!(!written.contains("gitlab.com") && !written.contains("far-0123456789"), "{written}");
    }

    #[tokio::test]
    async fn a_step_trusts_the_broker_instead_of_a_registrys_own_authority_and_has_no_key() {
        let mut private = credential("registry.example", "u", "p");
        let authority = rcgen::generate_simple_self_signed(vec!["registry.example".to_owned()]).unwrap().cert.pem();
        private.ca_pem = Some(authority.clone());
        let delivered = delivered(vec![private], "").await;
        let bundle = content(&delivered, "ca.pem");
        let second_line = authority.lines().nth(1).unwrap();
        assert!(!bundle.contains(second_line), "{bundle}");
        // The broker's, and nothing beside it.
        let (begin, end) = ("-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----");
        assert!(bundle.trim().starts_with(begin) && bundle.trim().ends_with(end), "{bundle}");
        assert_eq!(bundle.matches("-----BEGIN ").count(), 1, "{bundle}");
        let mut names: Vec<_> = delivered.files.iter().map(|file| file.path.display().to_string()).collect();
        names.sort_unstable();
        assert_eq!(names, ["ca.pem", "docker/config.json", "tofu.tfrc"]);
        let values = delivered.variables.iter().map(|(_, value)| value);
        for text in delivered.files.iter().map(|file| &file.content).chain(values) {
            assert!(!text.expose().contains("PRIVATE KEY") && !text.expose().contains(second_line));
        }
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
