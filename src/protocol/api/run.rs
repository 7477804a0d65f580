//! Runs, as people see them.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::agent::{Failure, PlanSummary, Receipt};
use crate::protocol::id::{AgentId, ConfigurationId, RunId, WorkspaceId};
use crate::protocol::run::{Phase, RunKind, RunState, Step};

/// Makes a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRun {
    /// The configuration to run.
    pub configuration: ConfigurationId,
    /// What for.
    pub kind: RunKind,
    /// Whether to apply without approval; absent: as the workspace says. Meaningless for `plan`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_apply: Option<bool>,
    /// For people.
    #[serde(default)]
    pub message: String,
}

/// A run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Run {
    /// Its id.
    pub id: RunId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The workspace's name.
    pub workspace_name: String,
    /// The configuration.
    pub configuration: ConfigurationId,
    /// What for.
    pub kind: RunKind,
    /// Where it stands.
    pub state: RunState,
    /// Whether it is applied without approval.
    pub auto_apply: bool,
    /// For people.
    pub message: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it came to its final state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Timestamp>,
    /// The agent that has it, or had it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentId>,
    /// That agent's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_name: Option<String>,
    /// The newest claim's number.
    pub epoch: i64,
    /// What the plan would do, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// Digest of what waits for approval, or was approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_digest: Option<String>,
    /// Where the plan was made, on the agent's host: the only path at which it can be applied.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_directory: Option<String>,
    /// Who approved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_by: Option<String>,
    /// What failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// Which backend keeps the state, once known: `nigari`, or the configuration's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whether a person has asked to cancel it.
    pub cancel_requested: bool,
    /// While it is queued and not every agent of its pool can have it: what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// While an agent has it, or it is lost: when that agent was last heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_last_seen_at: Option<Timestamp>,
    /// The steps that were reported, in order.
    #[serde(default)]
    pub steps: Vec<StepRecord>,
}

/// A step that was reported.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepRecord {
    /// The phase.
    pub phase: Phase,
    /// The step.
    pub step: Step,
    /// Under which claim.
    pub epoch: i64,
    /// When its start was reported.
    pub started_at: Timestamp,
}

/// Approves a plan.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Digest of what is approved; refused with 409 when it is not what waits. Absent: whatever waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_digest: Option<String>,
}

/// Cancels a run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cancellation {
    /// Do not wait for tofu to end by itself: kill it. May leave resources that no state knows.
    #[serde(default)]
    pub kill: bool,
}

/// Says what became of a lost run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    /// What the person found.
    pub resolved_as: ResolvedAs,
}

/// What a person found of a lost apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResolvedAs {
    /// It was applied; the run becomes `applied`.
    Applied,
    /// It was not; the run becomes `errored`.
    NotApplied,
}

/// Something that happened to a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunEvent {
    /// Grows within a run; give the last one as `after`.
    pub sequence: i64,
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub kind: RunEventKind,
}

/// What happened.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEventKind {
    /// The run came into this state.
    State {
        /// The state.
        state: RunState,
    },
    /// A step was reported.
    Step {
        /// The phase.
        phase: Phase,
        /// The step.
        step: Step,
    },
    /// A person asked to cancel.
    CancelRequested {
        /// Who.
        by: String,
        /// Whether to kill.
        kill: bool,
    },
    /// A state that tofu could not write is on an agent's host; `nigari state push` brings it in.
    StateKeptAside {
        /// The agent's name.
        agent: String,
        /// Where on its host.
        path: String,
    },
    /// A receipt came in.
    Receipt {
        /// Of which phase.
        phase: Phase,
    },
}

/// A receipt of a run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReceipt {
    /// Of which phase.
    pub phase: Phase,
    /// Under which claim.
    pub epoch: i64,
    /// The agent.
    pub agent: AgentId,
    /// What became of the delivery.
    #[serde(flatten)]
    pub receipt: Receipt,
}
