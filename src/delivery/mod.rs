//! How credentials come to tofu in the fetch step.
//!
//! Rule: credentials come in by value and nothing gives them back: what comes out are files for the launcher to write
//! and to wipe, variables that name them, and a [`Pending`] receipt without any secret.

mod broker;
mod ca_bundle;
mod choice;
// tofu's CLI configuration as files.
pub mod cli_config;
mod described;
mod docker_config;
mod file;
// What tofu asks for a credential.
pub mod helper;
mod meaning;
mod named_hosts;
mod plain_http;
mod token_needles;
// What stays for plan and apply.
pub mod whole_run;

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

pub use ca_bundle::RootsError;
pub use choice::{of_host, tofu_holds};
pub use meaning::meanings;
pub use named_hosts::NamedHosts;

use self::choice::Chosen;
use crate::clock::Clock;
use crate::gateway::broker::BrokerError;
use crate::protocol::Timestamp;
use crate::protocol::agent::{Receipt, ReceiptEnd, RegistryCredential, RegistryUse, Stay};
use crate::protocol::delivery::DeliveryChoice;
use crate::redact::Redactions;
use crate::sandbox::{OwnProgram, Sandbox, SecretFile};
use crate::secret::Secret;
use crate::tofu::cli_configuration::{CliConfigurationError, OperatorConfiguration};

/// Why there is no delivery.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// `auth` is `user:secret`: a colon in the user would move the border.
    #[error(
        "the user name of the registry integration `{name}` contains `:`; hint: correct it with `nigari registry update`"
    )]
    ColonInUser {
        /// The integration.
        name: String,
    },
    /// tofu cannot be given the program to ask.
    #[error("the credential helper cannot be put in place")]
    Program(#[source] std::io::Error),
    /// There is nowhere to ask.
    #[error("the credential helper's socket cannot be made")]
    Socket(#[source] std::io::Error),
    /// See there.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The operator's CLI configuration cannot be merged.
    #[error(transparent)]
    CliConfiguration(#[from] CliConfigurationError),
    /// See there.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// The broker was asked for, and cannot serve these hosts.
    #[error(
        "the broker cannot serve {}: OpenTofu reaches `localhost` and loopback addresses without any proxy; hint: name \
         the registry `registry.localhost`, or set `delivery` to `auto`", .0.join(", ")
    )]
    OutOfReach(Vec<String>),
}

/// One way for credentials to come to tofu, opened for one fetch step.
pub trait Delivery: Send {
    /// Gives everything away: the step's files are to be written below `directory`, which is the step's secret
    /// directory.
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError>;

    /// The receipt so far.
    fn receipt(&self) -> &Pending;
}

/// What a delivery is opened with.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// The operator's CLI configuration.
    pub operator: &'a Arc<OperatorConfiguration>,
    /// The host's root certificates, where the operator named them.
    pub system_roots: Option<&'a Path>,
    /// When the receipt begins.
    pub clock: &'a Clock,
    /// What the operator passes to the fetch step of the host's environment: a proxy may be in it.
    pub passed: Option<&'a [(String, Secret)]>,
    /// What agent and workspace want.
    pub wish: DeliveryChoice,
    /// The registry hosts that the run's module sources and the operator's OCI mirrors name.
    pub sources: &'a NamedHosts,
    /// This program, as a step can start it.
    pub program: &'a Arc<OwnProgram>,
    /// The run's own directory in memory.
    pub private: &'a Path,
    /// What the step will run in.
    pub sandbox: Sandbox,
    /// What must not be told of the run: what a delivery makes itself is added to it.
    pub redactions: &'a Redactions,
}

/// What the fetch step gets.
#[derive(Debug)]
pub struct Delivered {
    /// For the launcher to write into the secret directory.
    pub files: Vec<SecretFile>,
    /// Variables of the step alone.
    pub variables: Vec<(String, Secret)>,
    /// What of the host the step must be able to read and start besides.
    pub readable: Vec<PathBuf>,
    /// Directories with programs that tofu is to find: readable, and first on `PATH`.
    pub programs: Vec<PathBuf>,
    /// Sockets of the host that the step must be able to connect to.
    pub sockets: Vec<PathBuf>,
    /// What works beside the step.
    pub beside: Vec<Box<dyn Beside>>,
    /// The receipt so far.
    pub receipt: Pending,
}

impl Delivered {
    /// Files and variables that need nothing beside the step.
    fn new(files: Vec<SecretFile>, variables: Vec<(String, Secret)>, receipt: Pending) -> Self {
        let (readable, programs, sockets, beside) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { files, variables, readable, programs, sockets, beside, receipt }
    }
}

/// What works beside the step until its end: the broker's listener, the credential helper's socket. Dropping it ends it too,
/// but nobody hears then what it saw.
pub trait Beside: Send + std::fmt::Debug {
    /// The step's process runs under this number of our PID namespace: whoever asks can be compared with it.
    fn started(&mut self, process: i32);

    /// Ends it: when this is done nothing listens and no credential is held any more.
    fn close(self: Box<Self>) -> Pin<Box<dyn Future<Output = Witnessed> + Send>>;
}

/// What was seen of the step from beside it, for the receipt.
#[derive(Debug, Default)]
pub struct Witnessed {
    /// Every host that was asked for, a credential or not.
    pub used: Vec<RegistryUse>,
    /// What was pulled: `host/repository@digest`.
    pub pulled: Vec<String>,
    /// What people should know.
    pub notes: Vec<String>,
    /// What went wrong between the step and its registries: why it may have failed.
    pub faults: Vec<String>,
}

/// What it means while no delivery was opened, in a sentence for people.
const UNLENT: &str = "the credentials did not get further than the agent's memory: no step was lent them";

/// A receipt that waits for its end.
#[derive(Debug, Clone)]
pub struct Pending {
    delivery: &'static str,
    meaning: &'static str,
    /// Whether a step is lent them.
    is_lent: bool,
    hosts: Vec<String>,
    began_at: Timestamp,
}

/// How a delivery ended, for its receipt.
#[derive(Debug)]
pub struct Ending {
    /// What the step ran in.
    pub sandbox: String,
    /// When nothing was left.
    pub at: Timestamp,
    /// Why.
    pub end: ReceiptEnd,
    /// Whether a fresh look found nothing.
    pub wiped: bool,
    /// What was looked at.
    pub verified_by: String,
    /// What was seen of the step from beside it.
    pub witnessed: Witnessed,
}

impl Ending {
    fn unseen(sandbox: Sandbox, at: Timestamp, end: ReceiptEnd) -> Self {
        let (sandbox, verified_by) = (sandbox.name().to_owned(), "nothing".to_owned());
        Self { sandbox, at, end, wiped: false, verified_by, witnessed: Witnessed::default() }
    }
}

impl Pending {
    /// One for these credentials, from now on.
    fn begin<'c>(
        delivery: &'static str,
        meaning: &'static str,
        credentials: impl IntoIterator<Item = &'c RegistryCredential>,
        surroundings: &Surroundings<'_>,
    ) -> Self {
        let hosts = credentials.into_iter().map(|credential| credential.address.to_string()).collect();
        Self { delivery, meaning, is_lent: true, hosts, began_at: surroundings.clock.now() }
    }

    /// One for credentials that are asked for: whether any comes is not known yet.
    pub fn asked(wish: DeliveryChoice, clock: &Clock) -> Self {
        Self { delivery: wish.word(), meaning: UNLENT, is_lent: false, hosts: Vec::new(), began_at: clock.now() }
    }

    /// The same, when these have come.
    #[must_use]
    pub fn came(self, credentials: &[RegistryCredential]) -> Self {
        Self { hosts: credentials.iter().map(|credential| credential.address.to_string()).collect(), ..self }
    }

    /// What the receipt would say if the agent died now. When that was over, and that nothing is left, is for whoever
    /// sweeps to say.
    pub fn swept(&self, sandbox: Sandbox) -> Receipt {
        let mut receipt = self.clone().close(Ending::unseen(sandbox, self.began_at, ReceiptEnd::Swept));
        receipt.stay.uncounted = self.is_lent && !self.hosts.is_empty();
        receipt
    }

    /// The receipt if no step gets anything of it.
    pub fn unused(&self, sandbox: Sandbox, clock: &Clock) -> Receipt {
        let verified_by = "no step began with them: the agent had them in its memory alone, and gave them up";
        let ending = Ending::unseen(sandbox, clock.now(), ReceiptEnd::NeverBegan);
        self.clone().close(Ending { wiped: true, verified_by: verified_by.to_owned(), ..ending })
    }

    /// The registry hosts whose credentials are there.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The receipt; modules and notes are added by whoever knows them.
    pub fn close(self, ending: Ending) -> Receipt {
        Receipt {
            delivery: self.delivery.to_owned(),
            sandbox: ending.sandbox,
            meaning: self.meaning.to_owned(),
            stay: Stay {
                hosts: self.hosts,
                began_at: self.began_at,
                ended_at: ending.at,
                used: ending.witnessed.used,
                pulled: ending.witnessed.pulled,
                uncounted: false,
                notes: ending.witnessed.notes,
            },
            end: ending.end,
            wiped: ending.wiped,
            verified_by: ending.verified_by,
            modules: Vec::new(),
            providers: Vec::new(),
            whole_run: None,
        }
    }
}

/// Opens the delivery for these credentials.
pub async fn open(
    credentials: Vec<RegistryCredential>,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Delivery>, DeliveryError> {
    Ok(match choice::choose(credentials, surroundings.wish, surroundings.operator)? {
        Chosen::File(credentials) => Box::new(file::FileDelivery::open(&credentials, &surroundings)?),
        Chosen::Helper(credentials) => Box::new(helper::HelperDelivery::open(credentials, &surroundings)?),
        Chosen::Broker(all) => Box::new(broker::BrokerDelivery::open(all, &surroundings).await?),
    })
}

#[cfg(test)]
mod tests {
    use crate::protocol::agent::RegistryCredential;
    use crate::protocol::id::IntegrationId;

    pub(super) fn credential(address: &str, username: &str, secret: &str) -> RegistryCredential {
        RegistryCredential {
            integration: IntegrationId::generate(),
            name: "test-integration".into(),
            address: address.parse().unwrap(),
            username: username.into(),
            secret: secret.into(),
            ca_pem: None,
            token_service: None,
            whole_run: false,
        }
    }
}
