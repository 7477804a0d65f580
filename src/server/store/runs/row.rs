//! One row of `runs` with what its workspace and agent add.

use sqlx::any::AnyRow;

use crate::protocol::Timestamp;
use crate::protocol::agent::PlanSummary;
use crate::protocol::id::{AgentId, ClaimId, ConfigurationId, PoolId, RequestId, RunId, WorkspaceId};
use crate::protocol::run::Phase;
use crate::server::queue::{Standing, Wish};
use crate::server::store::StoreError;
use crate::server::store::row::Columns;

/// A `SELECT` of whole run rows, with what follows `FROM … JOIN …`.
macro_rules! select {
    ($($tail:tt)+) => {
        concat!(
            "SELECT r.sequence, r.id, r.workspace_id, w.name AS workspace_name, w.pool_id, r.configuration_id, r.kind, \
             r.auto_apply, r.message, r.created_by, r.created_at, r.state, r.epoch, r.tries, r.last_phase, r.last_step, \
             r.wish, r.claim_id, r.agent_id, a.name AS agent_name, r.lease_deadline, r.finished_at, r.plan, \
             r.artifact_blob_id, r.artifact_digest, r.run_directory, r.approved_by, r.approval, r.ending, \
             r.failure, r.failure_phase, r.failure_epoch, r.backend, \
             r.credentials_request, r.credentials_epoch FROM runs r JOIN workspaces w ON w.id = r.workspace_id \
             LEFT JOIN agents a ON a.id = r.agent_id ",
            $($tail)+
        )
    };
}
pub(super) use select;

/// A failure as an agent reported it: sealed for (run, epoch, phase).
#[derive(Debug, Clone)]
pub struct SealedFailure {
    /// In which phase.
    pub phase: Phase,
    /// Under which claim.
    pub epoch: i64,
    /// What is stored.
    pub sealed: Vec<u8>,
}

/// A run as it is stored.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The order in which runs were made.
    pub sequence: i64,
    /// Its id.
    pub id: RunId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// The workspace's name now.
    pub workspace_name: String,
    /// The pool whose agents may claim it now.
    pub pool: PoolId,
    /// Its configuration.
    pub configuration: ConfigurationId,
    /// Where it stands.
    pub standing: Standing,
    /// For people.
    pub message: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// The newest claim.
    pub claim: Option<ClaimId>,
    /// The newest claim's agent.
    pub agent: Option<AgentId>,
    /// That agent's name, unless it was removed.
    pub agent_name: Option<String>,
    /// When the newest claim's lease is over.
    pub lease_deadline: Option<Timestamp>,
    /// When it came to a final state.
    pub finished_at: Option<Timestamp>,
    /// What the present plan would do.
    pub plan: Option<PlanSummary>,
    /// The digest of the artifact of the present plan.
    pub artifact_digest: Option<String>,
    /// The directory that the artifact was made in.
    pub run_directory: Option<String>,
    /// Who approved.
    pub approved_by: Option<String>,
    /// What shows that they did, for `api` to check.
    pub approval: Option<Vec<u8>>,
    /// What failed, as an agent reported it. What ended the run otherwise is in its standing.
    pub failure: Option<SealedFailure>,
    /// Which backend keeps the state.
    pub backend: Option<String>,
    /// The request to which credentials were released, and in which epoch.
    pub credentials_request: Option<(RequestId, i64)>,
}

impl RunRecord {
    pub(super) fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let request = row.parsed_option("credentials_request")?;
        let request_epoch: Option<i64> = row.value("credentials_epoch")?;
        Ok(Self {
            sequence: row.value("sequence")?,
            id: row.parsed("id")?,
            workspace: row.parsed("workspace_id")?,
            workspace_name: row.value("workspace_name")?,
            pool: row.parsed("pool_id")?,
            configuration: row.parsed("configuration_id")?,
            standing: read_standing(row)?,
            message: row.value("message")?,
            created_by: row.value("created_by")?,
            created_at: row.value("created_at")?,
            claim: row.parsed_option("claim_id")?,
            agent: row.parsed_option("agent_id")?,
            agent_name: row.value("agent_name")?,
            lease_deadline: row.value("lease_deadline")?,
            finished_at: row.value("finished_at")?,
            plan: row.json_option("plan")?,
            artifact_digest: row.value("artifact_digest")?,
            run_directory: row.value("run_directory")?,
            approved_by: row.value("approved_by")?,
            approval: row.value("approval")?,
            failure: read_failure(row)?,
            backend: row.value("backend")?,
            credentials_request: request.zip(request_epoch),
        })
    }

    /// Whether this agent holds the newest claim with exactly this epoch, be it alive or lost.
    pub fn is_held_by(&self, agent: AgentId, epoch: i64) -> bool {
        let held = self.standing.is_claimed() || self.standing.state == crate::protocol::run::RunState::Lost;
        held && self.agent == Some(agent) && self.standing.epoch == epoch
    }
}

fn read_failure(row: &AnyRow) -> Result<Option<SealedFailure>, StoreError> {
    let sealed: Option<Vec<u8>> = row.value("failure")?;
    let place = row.parsed_option("failure_phase")?.zip(row.value::<Option<i64>>("failure_epoch")?);
    Ok(sealed.zip(place).map(|(sealed, (phase, epoch))| SealedFailure { phase, epoch, sealed }))
}

fn read_standing(row: &AnyRow) -> Result<Standing, StoreError> {
    let phase: Option<Phase> = row.parsed_option("last_phase")?;
    Ok(Standing {
        kind: row.parsed("kind")?,
        auto_apply: row.switch("auto_apply")?,
        state: row.parsed("state")?,
        epoch: row.value("epoch")?,
        tries: u32::try_from(row.value::<i64>("tries")?).unwrap_or(u32::MAX),
        last_step: phase.zip(row.parsed_option("last_step")?),
        artifact: row.parsed_option("artifact_blob_id")?,
        wish: row.parsed::<Wish>("wish")?,
        ending: row.parsed_option("ending")?,
    })
}
