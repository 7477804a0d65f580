//! What an audit record says besides who, when and to what: one variant per action.
//!
//! Rule: ids, addresses, numbers, switches and words of ours; a name that a person chose where the record would mean
//! nothing without it; never a description, a message or a value.

use serde::Serialize;

use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::{ClaimId, PoolId, RequestId, RunId, WorkspaceId};
use crate::protocol::registry_address::RegistryAddress;
use crate::protocol::run::{Phase, RunKind, RunState};

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident $word:literal { $($(#[$fdoc:meta])* $field:ident: $kind:ty,)* },)*) => {
        /// An action with its particulars.
        #[derive(Debug, Clone, Serialize)]
        #[serde(untagged)]
        pub enum Particulars {
            $($(#[$doc])* $name { $($(#[$fdoc])* $field: $kind,)* },)*
        }

        impl Particulars {
            /// `<resource>:<action>`.
            pub const fn action(&self) -> &'static str {
                match self { $(Self::$name { .. } => $word,)* }
            }
        }
    };
}

actions! {
    /// A registry integration was made.
    IntegrationCreate "registry_integration:create" {
        /// Its name.
        name: String,
        /// Where its secret goes.
        address: RegistryAddress,
        /// Whether runs get it.
        export_credentials: bool,
        /// Whether the delivery `file` may be used for it.
        permit_file: bool,
        /// Whether it may stay for plan and apply.
        permit_whole_run: bool,
    },
    /// A registry integration was changed.
    IntegrationUpdate "registry_integration:update" {
        /// Its name.
        name: String,
        /// Where its secret goes.
        address: RegistryAddress,
        /// Whether runs get it.
        export_credentials: bool,
        /// Whether the delivery `file` may be used for it.
        permit_file: bool,
        /// Whether it may stay for plan and apply.
        permit_whole_run: bool,
        /// Whether it is out of use.
        disabled: bool,
        /// Version of its secret.
        secret_version: i64,
    },
    /// A registry integration was removed.
    IntegrationDelete "registry_integration:delete" {
        /// Its name.
        name: String,
        /// Where its secret went.
        address: RegistryAddress,
    },
    /// A registry integration's secret was sent to its registry for a test.
    IntegrationTest "registry_integration:test" {
        /// Where to.
        address: RegistryAddress,
        /// Version of the secret.
        secret_version: i64,
    },
    /// A registry integration is held to the token service that took its secret in a test.
    IntegrationHold "registry_integration:hold" {
        /// Scheme, host and port, as the registry named them before it saw the secret.
        token_service: String,
        /// Version of the secret.
        secret_version: i64,
    },
    /// A run got credentials.
    CredentialsRelease "registry_integration:release" {
        /// The run.
        run: RunId,
        /// In which phase: in the plan they are for its fetch step, in the apply for the whole of it.
        phase: Phase,
        /// Its epoch.
        epoch: i64,
        /// The agent's request.
        request: RequestId,
        /// How the agent is to deliver them.
        delivery: DeliveryChoice,
        /// Which: id, host and path, version of the secret.
        released: Vec<ReleasedSecret>,
    },
    /// A workspace was made.
    WorkspaceCreate "workspace:create" {
        /// Its name.
        name: String,
        /// How credentials come to tofu in its runs.
        delivery: DeliveryChoice,
        /// Whether its runs want credentials for plan and apply too.
        whole_run: bool,
    },
    /// A workspace was changed.
    WorkspaceUpdate "workspace:update" {
        /// Its name.
        name: String,
        /// Whether runs are applied without approval.
        auto_apply: bool,
        /// Its pool.
        pool: PoolId,
        /// How credentials come to tofu in its runs.
        delivery: DeliveryChoice,
        /// Whether its runs want credentials for plan and apply too.
        whole_run: bool,
    },
    /// A workspace was removed.
    WorkspaceDelete "workspace:delete" {
        /// Its name.
        name: String,
        /// Whether it still had a state.
        with_state: bool,
    },
    /// A variable was set.
    VariableSet "variable:set" {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// `env` or `tofu`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// Whether its value is never shown.
        sensitive: bool,
    },
    /// A variable was removed.
    VariableDelete "variable:delete" {
        /// Of which workspace.
        workspace: WorkspaceId,
        /// `env` or `tofu`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// A configuration was uploaded.
    ConfigurationUpload "configuration:upload" {
        /// For which workspace.
        workspace: WorkspaceId,
        /// SHA-256 of its bytes.
        digest: String,
    },
    /// A run was made.
    RunCreate "run:create" {
        /// In which workspace.
        workspace: WorkspaceId,
        /// What for.
        kind: RunKind,
        /// Whether it is applied without approval.
        auto_apply: bool,
    },
    /// A plan was approved.
    RunApprove "run:approve" {
        /// What was approved.
        artifact_digest: Option<String>,
    },
    /// A plan was thrown away.
    RunDiscard "run:discard" {},
    /// A run was canceled.
    RunCancel "run:cancel" {
        /// Whether to kill.
        kill: bool,
    },
    /// A lost run was decided on.
    RunResolve "run:resolve" {
        /// What it became.
        state: RunState,
    },
    /// A phase was taken.
    RunClaim "run:claim" {
        /// The phase.
        phase: Phase,
        /// The epoch.
        epoch: i64,
        /// The claim.
        claim: ClaimId,
    },
    /// A run was put aside: its approval was forged, or what it was made of does not open.
    RunRefuse "run:refuse" {
        /// The epoch.
        epoch: i64,
        /// Which of the two: `not_approved`, `unreadable`.
        reason: &'static str,
    },
    /// A claim was given back before its first step.
    RunRelease "run:release" {
        /// The claim.
        claim: ClaimId,
        /// Its epoch.
        epoch: i64,
        /// What the run became.
        state: RunState,
    },
    /// A lease was over: its agent was not heard of.
    RunLapse "run:lapse" {
        /// The claim's epoch.
        epoch: i64,
        /// What the run became.
        state: RunState,
    },
    /// The agent of a lost run was heard of again: the run is applying again.
    RunReturn "run:return" {
        /// The claim's epoch.
        epoch: i64,
    },
    /// A phase ended.
    RunFinish "run:finish" {
        /// The phase.
        phase: Phase,
        /// The epoch.
        epoch: i64,
        /// What the run became.
        state: RunState,
    },
    /// A receipt came without the report of its phase's end: the agent had died.
    RunReceipt "run:receipt" {
        /// The phase.
        phase: Phase,
        /// The epoch.
        epoch: i64,
    },
    /// A state was written.
    StateWrite "state:write" {
        /// By which run, if by one.
        run: Option<RunId>,
        /// tofu's serial.
        serial: i64,
        /// SHA-256 of its bytes.
        digest: String,
    },
    /// A state's lock was taken away by force.
    StateUnlock "state:unlock" {
        /// Whose lock it was: its id.
        lock: String,
    },
    /// A token was made.
    TokenCreate "token:create" {
        /// `user`, `join`, `agent`, `session`.
        kind: &'static str,
        /// Its name.
        name: String,
        /// When it expires.
        expires_at: Option<i64>,
    },
    /// A token was revoked.
    TokenRevoke "token:revoke" {
        /// `user`, `join`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// An agent joined.
    AgentJoin "agent:join" {
        /// Its pool.
        pool: PoolId,
        /// Its name.
        name: String,
    },
    /// An agent was removed: neither its identity nor its session is taken any more.
    AgentDelete "agent:delete" {
        /// Its name.
        name: String,
        /// Whether it still had runs.
        with_runs: bool,
    },
    /// An agent kept a state aside that tofu could not write.
    StateKeptAside "state:keep_aside" {
        /// Of which run.
        run: RunId,
    },
    /// An agent may take runs again.
    AgentResume "agent:resume" {
        /// Its name.
        name: String,
    },
    /// An agent was told to take nothing new.
    AgentDrain "agent:drain" {
        /// Its name.
        name: String,
    },
}

/// A secret that was released.
#[derive(Debug, Clone, Serialize)]
pub struct ReleasedSecret {
    /// The integration.
    pub integration: crate::protocol::id::IntegrationId,
    /// Where it may go.
    pub address: RegistryAddress,
    /// Version of the secret.
    pub secret_version: i64,
    /// Whether it may stay after the fetch step.
    pub whole_run: bool,
}

impl Particulars {
    pub(super) fn to_json(&self) -> String {
        // Only ids, words and numbers: nothing in it that JSON cannot say.
        serde_json::to_string(self).unwrap_or_else(|_| "{}".to_owned())
    }
}
