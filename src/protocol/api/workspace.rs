//! Workspaces, their variables, their configurations.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::{ConfigurationId, RunId, VariableId, WorkspaceId};
use crate::secret::{Secret, serialize_exposed};

/// Makes a workspace.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewWorkspace {
    /// Unique; letters, digits, `-`, `_`, `.`, at most 128; begins with a letter or digit.
    pub name: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Agent pool whose agents take its runs; absent: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Whether runs are applied without approval unless they say otherwise.
    #[serde(default)]
    pub auto_apply: bool,
    /// How credentials come to tofu in its runs; `auto` leaves it to the agent.
    #[serde(default)]
    pub delivery: DeliveryChoice,
    /// Whether its runs want credentials for plan and apply too, where integrations permit it.
    #[serde(default)]
    pub whole_run: bool,
}

/// Changes a workspace; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceChange {
    /// New name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// New description.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// New pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// New default for approval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_apply: Option<bool>,
    /// New delivery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<DeliveryChoice>,
    /// New wish for credentials in plan and apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_run: Option<bool>,
}

/// A workspace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Workspace {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its agent pool's name.
    pub pool: String,
    /// Whether runs are applied without approval unless they say otherwise.
    pub auto_apply: bool,
    /// How credentials come to tofu in its runs; `auto` leaves it to the agent.
    #[serde(default)]
    pub delivery: DeliveryChoice,
    /// Whether its runs want credentials for plan and apply too, where integrations permit it.
    #[serde(default)]
    pub whole_run: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// The run that occupies it, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active_run: Option<RunId>,
    /// Who holds the state's lock, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_lock: Option<super::StateLock>,
    /// Serial of the newest state, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_serial: Option<i64>,
}

/// How tofu gets a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VariableKind {
    /// As an environment variable of that name.
    Env,
    /// As an input variable of the configuration (`TF_VAR_<name>`); an uploaded `*.auto.tfvars` wins over it.
    Tofu,
    /// As a file in memory, mode 0600, whose path is in the environment variable of that name: for cloud credentials
    /// (`AWS_WEB_IDENTITY_TOKEN_FILE`, `GOOGLE_APPLICATION_CREDENTIALS`, `KUBE_CONFIG_PATH`, …). It is there from
    /// `init` on and not in the fetch step, which needs no cloud.
    File,
}

impl VariableKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::Env, Self::Tofu, Self::File];

    /// The word for it on the wire, in the database and in commands.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Env => "env",
            Self::Tofu => "tofu",
            Self::File => "file",
        }
    }

    /// Whether a value is never shown when nobody says whether it may be: what is a file is a credential.
    pub const fn is_sensitive_by_default(self) -> bool {
        matches!(self, Self::File)
    }
}

/// Sets a variable.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VariableValue {
    /// Its value, text; without NUL (but in a file), at most 127 KiB together with its name. A file has it byte for
    /// byte.
    #[serde(serialize_with = "serialize_exposed")]
    pub value: Secret,
    /// Whether the value is never shown again; absent: as the kind says, which is yes for a file and no for others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sensitive: Option<bool>,
    /// For people.
    #[serde(default)]
    pub description: String,
}

/// A variable.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Variable {
    /// Its id.
    pub id: VariableId,
    /// How tofu gets it.
    pub kind: VariableKind,
    /// Its name.
    pub name: String,
    /// Its value, unless sensitive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// Whether the value is never shown.
    pub sensitive: bool,
    /// For people.
    pub description: String,
    /// When it was set last.
    pub updated_at: Timestamp,
}

/// An uploaded configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Configuration {
    /// Its id.
    pub id: ConfigurationId,
    /// The workspace that it was uploaded for.
    pub workspace: WorkspaceId,
    /// Lower-case hexadecimal SHA-256 of the packed bytes.
    pub digest: String,
    /// Packed bytes.
    pub bytes: u64,
    /// tofu's working directory within it; empty for its top.
    pub working_directory: String,
    /// When it was uploaded.
    pub created_at: Timestamp,
}
