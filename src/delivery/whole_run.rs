//! Credentials that stay after the fetch step, for providers that pull from a registry while tofu plans and applies.
//!
//! Rule: by the broker alone, and only those of which the server says so: the integration permits it, the workspace wants
//! it. All others are gone with the fetch step, the operator's tokens too. Each phase has a broker of its own, with a
//! nonce and an authority that are worth nothing after it.

use std::path::Path;

use super::broker::{At, ProxyOf, proxied};
use super::ca_bundle::Roots;
use super::token_needles::TokenNeedles;
use super::{DeliveryError, Pending, ca_bundle};
use crate::clock::Clock;
use crate::gateway::broker::{Broker, Seen};
use crate::protocol::Timestamp;
use crate::protocol::agent::{Receipt, ReceiptEnd, RegistryCredential, Stay, WholeRun};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::run::Step;
use crate::redact::Redactions;
use crate::registry::is_loopback_host;
use crate::sandbox::{Sandbox, SecretFile};
use crate::secret::Secret;

/// What it means, in a sentence for people.
const MEANING: &str = "tofu had no credential: the broker on loopback asked the registries for it, by GET and HEAD, while \
                       tofu planned or applied; whatever ran in that step could pull what the credential may pull";

/// The same where runs can look into each other's processes.
const MEANING_OF_PROCESS: &str = "tofu had no credential: the broker on loopback asked the registries for it, by GET and HEAD, \
                                  while tofu planned or applied; whatever ran in that step could pull what the credential may \
                                  pull, and so could any process of the same user, because the sandbox `process` does not hide \
                                  the proxy's address";

/// Credentials between the fetch step and their use.
#[derive(Debug, Default)]
pub struct Kept(Vec<RegistryCredential>);

/// What surrounds them.
#[derive(Debug, Clone, Copy)]
pub struct Around<'a> {
    /// The host's root certificates, where the operator named them.
    pub system_roots: Option<&'a Path>,
    /// What the operator passes to every step of the host's environment: a proxy may be in it.
    pub passed: &'a [(String, Secret)],
    /// When it begins and ends.
    pub clock: &'a Clock,
    /// For what it has to hide.
    pub redactions: &'a Redactions,
}

/// A broker beside `plan` or `apply`.
#[derive(Debug)]
pub struct Lent {
    broker: Broker,
    proxied: Vec<(String, Secret)>,
    tokens: TokenNeedles,
    bundle: String,
    hosts: Vec<String>,
    began_at: Timestamp,
}

impl Kept {
    /// Of these, the ones that stay.
    pub fn of(credentials: &[RegistryCredential]) -> Self {
        Self(credentials.iter().filter(|credential| stays(credential)).map(duplicate).collect())
    }

    /// Whether none stays.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The receipt of these, as long as no step is lent them.
    pub fn receipt(&self, clock: &Clock) -> Pending {
        Pending::asked(DeliveryChoice::Broker, clock).came(&self.0)
    }

    /// Opens the broker for one phase; nothing if there is nothing to lend.
    pub async fn lend(&self, around: Around<'_>) -> Result<Option<Lent>, DeliveryError> {
        if self.is_empty() {
            return Ok(None);
        }
        let credentials: Vec<_> = self.0.iter().map(duplicate).collect();
        let hosts = credentials.iter().map(|credential| credential.address.to_string()).collect();
        let began_at = around.clock.now();
        let of = ProxyOf { credentials, tokens: Vec::new(), services: Vec::new() };
        let Around { system_roots, passed, clock, redactions } = around;
        let (broker, tokens) = of.open(At { passed: Some(passed), system_roots, clock, redactions }).await?;
        let bundle = ca_bundle::with(&[broker.authority()], Roots::of(around.system_roots, Some(around.passed)))?;
        let proxied = proxied(&broker, around.passed);
        Ok(Some(Lent { broker, proxied, tokens, bundle, hosts, began_at }))
    }
}

impl Lent {
    /// What the step has to trust, for a directory that it sees.
    pub fn file(&self) -> SecretFile {
        SecretFile { path: ca_bundle::NAME.into(), content: Secret::new(self.bundle.clone()) }
    }

    /// The variables that lead there, with the file in `directory`.
    pub fn variables(&self, directory: &Path) -> Vec<(String, Secret)> {
        let proxied = self.proxied.iter().map(|(name, value)| (name.clone(), value.duplicate()));
        let mut variables: Vec<_> = proxied.collect();
        variables.push(ca_bundle::variable(directory));
        variables
    }

    /// What there is to say of it while it is open. When that was over is for whoever closes or sweeps to say.
    pub fn so_far(&self, until: Step) -> WholeRun {
        let (hosts, began_at) = (self.hosts.clone(), self.began_at);
        WholeRun { until, stay: Stay { hosts, began_at, ended_at: began_at, ..Stay::default() } }
    }

    /// Ends it: when this is done nothing listens and no credential is held by it any more.
    pub async fn close(self, until: Step, clock: &Clock) -> WholeRun {
        let Seen { used, pulled, notes, faults } = self.broker.close().await;
        let notes = notes.into_iter().chain(faults).chain(self.tokens.note()).collect();
        let (hosts, began_at) = (self.hosts, self.began_at);
        WholeRun { until, stay: Stay { hosts, began_at, ended_at: clock.now(), used, pulled, uncounted: false, notes } }
    }
}

/// The receipt of a phase without a fetch step.
pub fn receipt(whole_run: WholeRun, end: ReceiptEnd, sandbox: Sandbox) -> Receipt {
    Receipt {
        delivery: "broker".to_owned(),
        sandbox: sandbox.name().to_owned(),
        meaning: meaning(sandbox).to_owned(),
        stay: Stay { used: Vec::new(), pulled: Vec::new(), notes: Vec::new(), ..whole_run.stay.clone() },
        end,
        wiped: true,
        verified_by: "the agent closed the broker, which alone had the credentials; nothing of it was written"
            .to_owned(),
        modules: Vec::new(),
        providers: Vec::new(),
        whole_run: Some(whole_run),
    }
}

/// What it means, for people.
pub fn meaning(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Namespace => MEANING,
        Sandbox::Process => MEANING_OF_PROCESS,
    }
}

/// No proxy leads to a registry on loopback.
fn stays(credential: &RegistryCredential) -> bool {
    credential.whole_run && !is_loopback_host(credential.address.host())
}

fn duplicate(credential: &RegistryCredential) -> RegistryCredential {
    RegistryCredential {
        integration: credential.integration,
        name: credential.name.clone(),
        address: credential.address.clone(),
        username: credential.username.clone(),
        secret: credential.secret.duplicate(),
        ca_pem: credential.ca_pem.clone(),
        token_service: credential.token_service.clone(),
        whole_run: credential.whole_run,
    }
}

#[cfg(test)]
mod tests {
    use super::{Around, Kept};
    use crate::clock::Clock;
    use crate::delivery::tests::credential;
    use crate::protocol::run::Step;
    use crate::redact::Redactions;

    #[test]
    fn what_is_kept_lacks_nothing() {
        let mut one = credential("ghcr.io/team", "robot", "s3cret");
        (one.ca_pem, one.token_service) = (Some("pem".into()), Some("https://auth.example".into()));
        one.whole_run = true;
        let Kept(kept) = Kept::of(std::slice::from_ref(&one));
        assert_eq!(serde_json::to_value(&kept).unwrap(), serde_json::to_value([&one]).unwrap());
    }

    #[tokio::test]
    async fn only_what_the_server_says_so_of_stays_and_only_what_a_proxy_can_serve() {
        crate::tls::install_provider();
        let mut all = [
            credential("a.example/x", "u", "p"),
            credential("b.example", "u", "p"),
            credential("localhost:1", "u", "p"),
        ];
        assert!(Kept::of(&all).is_empty());
        (all[0].whole_run, all[2].whole_run) = (true, true);
        let clock = Clock::new();
        let redactions = Redactions::new();
        let around = Around { system_roots: None, passed: &[], clock: &clock, redactions: &redactions };
        let lent = Kept::of(&all).lend(around).await.unwrap().unwrap();
        let names: Vec<_> = lent.variables("/d".as_ref()).into_iter().map(|(name, _)| name).collect();
        assert!(names.contains(&"HTTPS_PROXY".to_owned()) && names.contains(&"SSL_CERT_FILE".to_owned()), "{names:?}");
        let address = lent.broker.address();
        let ended = lent.close(Step::Plan, &clock).await;
        assert_eq!(ended.stay.hosts, ["a.example/x"]);
        assert!(std::net::TcpStream::connect(address).is_err(), "it still listens");
        assert!(Kept::default().lend(around).await.unwrap().is_none());
    }
}
