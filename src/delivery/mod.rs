//! How credentials come to tofu in the fetch step.
//!
//! Rule: credentials come in by value and nothing gives them back: what comes out are files for the launcher to write
//! and to wipe, variables that name them, and a [`Pending`] receipt without any secret.

mod ca_bundle;
// tofu's CLI configuration as files.
pub mod cli_config;
mod docker_config;
mod file;

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

pub use ca_bundle::RootsError;

use crate::clock::Clock;
use crate::protocol::Timestamp;
use crate::protocol::agent::{Receipt, ReceiptEnd, RegistryCredential, RegistryUse};
use crate::sandbox::{Sandbox, SecretFile};
use crate::secret::Secret;
use crate::tofu::cli_configuration::{CliConfigurationError, OperatorConfiguration};

/// What the delivery of this build means in a sandbox, in a sentence for people.
pub fn meaning(sandbox: Sandbox) -> &'static str {
    file::meaning(sandbox)
}

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
    /// See there.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The operator's CLI configuration cannot be merged.
    #[error(transparent)]
    CliConfiguration(#[from] CliConfigurationError),
}

/// One way for credentials to come to tofu, opened for one fetch step.
pub trait Delivery: Send {
    /// Gives everything away: the step's files are to be written below `directory`, which is the step's secret
    /// directory.
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError>;
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
    /// What the step will run in.
    pub sandbox: Sandbox,
}

/// What the fetch step gets.
#[derive(Debug)]
pub struct Delivered {
    /// For the launcher to write into the secret directory.
    pub files: Vec<SecretFile>,
    /// Variables of the step alone.
    pub variables: Vec<(String, Secret)>,
    /// What works beside the step, if the delivery needs that.
    pub beside: Option<Box<dyn Beside>>,
    /// The receipt so far.
    pub receipt: Pending,
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
}

/// A receipt that waits for its end.
#[derive(Debug)]
pub struct Pending {
    delivery: &'static str,
    meaning: &'static str,
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

impl Pending {
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
            hosts: self.hosts,
            began_at: self.began_at,
            ended_at: ending.at,
            end: ending.end,
            wiped: ending.wiped,
            verified_by: ending.verified_by,
            modules: Vec::new(),
            used: ending.witnessed.used,
            pulled: ending.witnessed.pulled,
            notes: ending.witnessed.notes,
        }
    }
}

/// Opens the delivery for these credentials. This build has one way, `file`, which `auto` takes as well.
#[expect(clippy::needless_pass_by_value, reason = "whoever asks for a delivery must not keep what is delivered")]
pub fn open(
    credentials: Vec<RegistryCredential>,
    surroundings: Surroundings<'_>,
) -> Result<Box<dyn Delivery>, DeliveryError> {
    Ok(Box::new(file::FileDelivery::open(&credentials, surroundings)?))
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
        }
    }
}
