//! Claiming a phase, keeping it, being told to stop.

use serde::{Deserialize, Serialize};

use crate::protocol::api::VariableKind;
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::{ClaimId, RequestId, RunId, WorkspaceId};
use crate::protocol::run::{Phase, RunKind};
use crate::secret::{Secret, serialize_exposed};

/// Asks for a phase to do.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// Made by the agent. A repeat with the same id (a lost answer) gets the same claim.
    pub claim: ClaimId,
    /// How long the server may hold the request; it holds less when it likes.
    pub hold_seconds: u64,
}

/// A phase of a run, for as long as the lease lasts.
#[derive(Debug, Serialize, Deserialize)]
pub struct Claim {
    /// The claim's id, as asked.
    pub claim: ClaimId,
    /// The run.
    pub run: RunId,
    /// What to do of it.
    pub phase: Phase,
    /// What the run is for.
    pub kind: RunKind,
    /// The number that fences this claim; goes into the epoch header of everything that follows.
    pub epoch: i64,
    /// The lease's length, from the moment when the claim's request was sent.
    pub lease_seconds: u64,
    /// Whether the plan's finish may be answered with *apply now*.
    pub auto_apply: bool,
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its name.
    pub workspace_name: String,
    /// Lower-case hexadecimal SHA-256 of the packed configuration.
    pub configuration_digest: String,
    /// tofu's working directory within the configuration; empty for its top.
    pub working_directory: String,
    /// How the workspace wants credentials to come to tofu.
    #[serde(default)]
    pub delivery: DeliveryChoice,
    /// Whether the workspace wants credentials for the whole run, where integrations permit it.
    #[serde(default)]
    pub whole_run: bool,
    /// The run's variables, as they were when it was made.
    pub variables: Vec<RunVariable>,
    /// In the phase `apply` of another claim than the plan's: digest of the artifact that was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_digest: Option<String>,
    /// With an artifact: the absolute run directory that it was made in. An agent that cannot have it releases the
    /// claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_directory: Option<String>,
}

/// One variable of a run's snapshot.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunVariable {
    /// How tofu gets it.
    pub kind: VariableKind,
    /// Its name (for `tofu` variables without `TF_VAR_`).
    pub name: String,
    /// Its value.
    #[serde(serialize_with = "serialize_exposed")]
    pub value: Secret,
    /// Whether people may not see the value.
    pub sensitive: bool,
}

/// A lease goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RenewAnswer {
    /// The lease's length from the moment when this request was sent.
    pub lease_seconds: u64,
    /// Whether a person has asked to cancel the run.
    pub cancel: bool,
    /// Whether a person has asked to kill it: do not wait for tofu.
    pub kill: bool,
}

/// A step is about to start.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepReport {
    /// Made by the agent, for a repeat.
    pub request: RequestId,
}

/// What the server wants of an agent besides runs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WatchAnswer {
    /// To be given as `after` with the next watch.
    pub next: i64,
    /// Runs of this agent to cancel: interrupt tofu, let it end.
    pub cancel: Vec<RunId>,
    /// Runs of this agent to kill.
    pub kill: Vec<RunId>,
    /// Finish what runs, take nothing new, then leave.
    pub drain: bool,
}
