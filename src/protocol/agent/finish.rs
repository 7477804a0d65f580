//! How a phase ended: outcome, failure, receipt.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::id::RequestId;
use crate::protocol::run::Step;

/// The report of a phase's end. Idempotent on (run, epoch, phase): a repeat gets the same answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// Made by the agent, for a repeat.
    pub request: RequestId,
    /// How it ended.
    pub outcome: Outcome,
    /// With `failed`: what failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<Failure>,
    /// After a plan: what it would do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanSummary>,
    /// After a plan that waits for approval: digest of the uploaded artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_digest: Option<String>,
    /// After a plan that waits for approval: the absolute run directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_directory: Option<String>,
    /// Which backend keeps the state: `nigari`, or the name of the configuration's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// What became of the delivery. Absent when there was no fetch step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub receipt: Option<Receipt>,
    /// Bytes of the phase's log, so that the server can tell whether it has all of it.
    pub log_bytes: u64,
}

/// How a phase ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The plan has changes.
    Planned,
    /// The plan has nothing to do.
    NoChanges,
    /// Everything was applied.
    Applied,
    /// Something failed; see `failure`.
    Failed,
    /// Ended because a person asked.
    Canceled,
}

/// What failed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Failure {
    /// Who has to act.
    pub class: FailureClass,
    /// During which step, if one had begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<Step>,
    /// What happened, in a sentence or tofu's own words.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// Who has to act on a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The configuration's author: tofu refused it or it failed.
    Configuration,
    /// Whoever keeps the registry integrations.
    Credentials,
    /// The operator of the host: no space, no tofu, no tmpfs.
    Infrastructure,
    /// The lease was lost.
    LeaseLost,
    /// Secrets may remain on the host.
    WipeFailed,
    /// nigari itself.
    Internal,
}

/// What a plan would do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// Resources to create.
    pub add: u64,
    /// Resources to change in place.
    pub change: u64,
    /// Resources to destroy (a replacement counts here and in `add`).
    pub destroy: u64,
    /// Resources to import.
    pub import: u64,
    /// Outputs that change.
    pub outputs: u64,
}

/// What became of a delivery. Contains no secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Receipt {
    /// The way: `broker`, `helper`, `file`, or two of them.
    pub delivery: String,
    /// What the step ran in: `namespace` or `process`.
    pub sandbox: String,
    /// What the way means for the run, in a sentence for people.
    pub meaning: String,
    /// Until nothing of the credentials was left.
    #[serde(flatten)]
    pub stay: Stay,
    /// Why they went.
    pub end: ReceiptEnd,
    /// Whether a fresh look found nothing.
    pub wiped: bool,
    /// What was looked at to know it.
    pub verified_by: String,
    /// What was fetched: module key and source.
    pub modules: Vec<String>,
    /// Providers that came from an OCI mirror: address and version.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// What stayed after the fetch step, where that was wanted and permitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole_run: Option<WholeRun>,
}

/// What became of credentials that stayed for `plan` or `apply`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WholeRun {
    /// The step that they stayed for; with it they ended.
    pub until: Step,
    /// Until the broker was closed.
    #[serde(flatten)]
    pub stay: Stay,
}

/// Credentials on a host: which, how long, and what was done with them.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Stay {
    /// Registries (host and path) whose credentials were there.
    pub hosts: Vec<String>,
    /// When they came to be there, or could begin to be used.
    pub began_at: Timestamp,
    /// When that was over.
    pub ended_at: Timestamp,
    /// With `broker` and `helper`: which hosts were asked, and how often.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used: Vec<RegistryUse>,
    /// With the broker: what was pulled, by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pulled: Vec<String>,
    /// Whether nobody is left who counted: what was asked for and pulled is not known.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub uncounted: bool,
    /// What people should know: a kept backend, an old tofu.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What the fetch step did with one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryUse {
    /// `host[:port]`.
    pub host: String,
    /// The integrations whose credentials were used there, by name; empty for a host that was only passed through.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub integrations: Vec<String>,
    /// Requests (of a passed-through host: connections; of the credential helper: answers).
    pub requests: u64,
    /// Bytes that came from there, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Why a delivery ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptEnd {
    /// The fetch step was over.
    StepOver,
    /// The fetch step failed.
    StepFailed,
    /// A person canceled.
    Canceled,
    /// A person had it killed.
    Killed,
    /// The lease was lost.
    LeaseLost,
    /// The agent was told to end.
    AgentStopped,
    /// The step's launcher died.
    Crashed,
    /// The credentials had come, and no step got them.
    NeverBegan,
    /// The agent died; the one after it swept what was left.
    Swept,
    /// A word that this version does not know: whoever is older can still read and keep the receipt.
    #[serde(other)]
    Unknown,
}

/// The server's answer to a finish.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct FinishAnswer {
    /// What to do now.
    pub next: NextAction,
}

/// What an agent does after a finish.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NextAction {
    /// The claim is over; wipe the run directory.
    Done,
    /// Go on with the phase `apply` under the same claim, epoch and lease.
    ApplyNow,
}

#[cfg(test)]
mod tests {
    use super::ReceiptEnd;

    #[test]
    fn an_end_of_a_later_version_can_be_read() {
        let read = |word: &str| serde_json::from_value::<ReceiptEnd>(word.into()).unwrap();
        assert_eq!(read("beamed_up"), ReceiptEnd::Unknown);
        for (word, end) in [
            ("step_over", ReceiptEnd::StepOver),
            ("lease_lost", ReceiptEnd::LeaseLost),
            ("agent_stopped", ReceiptEnd::AgentStopped),
            ("never_began", ReceiptEnd::NeverBegan),
            ("unknown", ReceiptEnd::Unknown),
        ] {
            assert_eq!((read(word), serde_json::to_value(end).unwrap()), (end, word.into()));
        }
    }
}
