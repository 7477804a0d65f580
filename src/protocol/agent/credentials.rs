//! The registry credentials of a run's fetch step; where a workspace wants it and an integration permits it, of plan and
//! apply too.
//!
//! Rule: this is the only answer of the server that carries registry secrets.

use serde::{Deserialize, Serialize};

use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::{IntegrationId, RequestId};
use crate::protocol::registry_address::RegistryAddress;
use crate::secret::{Secret, serialize_exposed};

/// Asks for the credentials of the run. Released once per epoch, in the phase `plan` after `fetch` was reported; a repeat
/// with the same request id gets the same answer, until `init` is reported. In the phase `apply` of another claim there
/// are only those for the whole run, after `init` was reported and until `apply` is.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsRequest {
    /// Made by the agent.
    pub request: RequestId,
    /// How they will be delivered, by the wishes of agent and workspace: what an integration does not permit for it is
    /// not released.
    #[serde(default)]
    pub delivery: DeliveryChoice,
}

/// The run's credentials.
#[derive(Debug, Serialize, Deserialize)]
pub struct CredentialsAnswer {
    /// What may be delivered.
    pub credentials: Vec<RegistryCredential>,
    /// What exists but was not released, so that a hint can name it.
    pub withheld: Vec<Withheld>,
}

/// What a run gets: registry host (and path), user, secret.
#[derive(Debug, Serialize, Deserialize)]
pub struct RegistryCredential {
    /// The integration that it comes from.
    pub integration: IntegrationId,
    /// Its name.
    pub name: String,
    /// Host and path.
    pub address: RegistryAddress,
    /// User name.
    pub username: String,
    /// Password or token.
    #[serde(serialize_with = "serialize_exposed")]
    pub secret: Secret,
    /// The registry's private CA, PEM, in addition to the host's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// The one token service that it may be shown to: scheme, host and port. Absent: the first that the registry names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_service: Option<String>,
    /// Whether the broker may go on with it after the fetch step: the integration permits it and the workspace wants it.
    #[serde(default)]
    pub whole_run: bool,
}

/// An integration whose credential was not released.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Withheld {
    /// Its name.
    pub name: String,
    /// Host and path.
    pub address: RegistryAddress,
    /// Why.
    pub reason: WithheldReason,
}

/// Why a credential was not released.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldReason {
    /// *export credentials* is off.
    ExportOff,
    /// A person disabled the integration.
    Disabled,
    /// The integration is not for this workspace.
    OutOfScope,
    /// The delivery is `file`, and the integration does not permit that.
    FileNotPermitted,
    /// Its secret does not open on the server: changed in the database, or sealed with another key.
    Unreadable,
}
