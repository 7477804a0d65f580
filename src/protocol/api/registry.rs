//! Registry integrations.
//!
//! Rule: the secret goes in and never comes out.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::id::IntegrationId;
use crate::protocol::registry_address::RegistryAddress;
use crate::secret::{Secret, serialize_exposed, serialize_exposed_option};

/// Makes a registry integration.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRegistryIntegration {
    /// For people; unique; at most 128 characters.
    pub name: String,
    /// `https://host[:port][/path]`; unique by host and path.
    pub url: String,
    /// User name.
    pub username: String,
    /// Password or token.
    #[serde(serialize_with = "serialize_exposed")]
    pub secret: Secret,
    /// Whether runs get the credential.
    #[serde(default)]
    pub export_credentials: bool,
    /// Whether the delivery `file` may be used for it, which a configuration's author can read.
    #[serde(default)]
    pub permit_file: bool,
    /// Whether it may stay for plan and apply, by the broker, where a workspace wants that.
    #[serde(default)]
    pub permit_whole_run: bool,
    /// Private CA, PEM, one or more certificates; trusted in addition to the host's roots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// Changes a registry integration; what is absent stays. A change of `url` or `ca_pem` demands the secret again,
/// because it says where the secret is sent.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryIntegrationChange {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// New user name; demands the secret as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// New password or token.
    #[serde(default, serialize_with = "serialize_exposed_option", skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// Whether runs get the credential.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub export_credentials: Option<bool>,
    /// Whether the delivery `file` may be used for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit_file: Option<bool>,
    /// Whether it may stay for plan and apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit_whole_run: Option<bool>,
    /// New private CA; an empty text removes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Takes the integration out of use, whatever `export_credentials` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disabled: Option<bool>,
}

/// A registry integration, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "switches that do not depend on each other")]
pub struct RegistryIntegration {
    /// Its id.
    pub id: IntegrationId,
    /// Its name.
    pub name: String,
    /// Host and path, in normal form.
    pub address: RegistryAddress,
    /// User name.
    pub username: String,
    /// Whether runs get the credential.
    pub export_credentials: bool,
    /// Whether the delivery `file` may be used for it.
    #[serde(default)]
    pub permit_file: bool,
    /// Whether it may stay for plan and apply.
    #[serde(default)]
    pub permit_whole_run: bool,
    /// Whether it is out of use.
    pub disabled: bool,
    /// Whether a private CA is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// The token service that its secret is held to (scheme, host and port): the first with which a connection test
    /// succeeded since the secret was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_service: Option<String>,
    /// Counts the secrets that it has had; part of what the ciphertext is bound to.
    pub secret_version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was changed last.
    pub updated_at: Timestamp,
    /// When its secret was set last.
    pub secret_set_at: Timestamp,
    /// The last connection test, if there was one since the last change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_test: Option<ConnectionTest>,
    /// What people should know: how module sources must spell this registry; of a secret that was just given, whether it
    /// is too short to be hidden in logs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// Tries an integration against its registry.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConnectionTestRequest {
    /// A repository (`team/net` or `team/net:1.0.0`) to try a pull of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
}

/// What a connection test found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionTest {
    /// In a word.
    pub verdict: ConnectionVerdict,
    /// What happened, in a sentence.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Whether what was tried is a module package; absent: nothing was pulled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_module: Option<bool>,
    /// The token service that took the credential, if the test succeeded by one: scheme, host and port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_service: Option<String>,
    /// When.
    pub tested_at: Timestamp,
}

/// The verdict of a connection test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConnectionVerdict {
    /// The registry took the credential.
    Ok,
    /// A registry answers, but it let us in without looking at the credential.
    Unproven,
    /// Name, route, port or time.
    Unreachable,
    /// The certificate is not trusted, has expired or names another host.
    Tls,
    /// Something answers, but not a registry.
    NotARegistry,
    /// User or secret is wrong.
    Denied,
    /// The credential is good but may not pull the repository.
    NoAccess,
    /// There is no such repository or tag, or the credential may not see it: registries answer both alike.
    NotFound,
    /// The registry has a fault or limits us.
    RegistryFault,
}
