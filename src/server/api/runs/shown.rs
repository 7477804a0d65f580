//! A run as people see it.

use crate::protocol::api::Run;
use crate::server::api::ApiError;
use crate::server::queue::Wish;
use crate::server::store::AnyConnection;
use crate::server::store::runs::{RunRecord, steps};

/// With its steps.
pub(super) async fn with_steps(connection: &mut AnyConnection, record: RunRecord) -> Result<Run, ApiError> {
    let steps = steps::of_run(connection, record.id).await?;
    Ok(Run { steps, ..plain(record) })
}

/// Without its steps, for lists.
pub(super) fn plain(record: RunRecord) -> Run {
    let standing = record.standing;
    Run {
        id: record.id,
        workspace: record.workspace,
        workspace_name: record.workspace_name,
        configuration: record.configuration,
        kind: standing.kind,
        state: standing.state,
        auto_apply: standing.auto_apply,
        message: record.message,
        created_by: record.created_by,
        created_at: record.created_at,
        finished_at: record.finished_at,
        agent: record.agent,
        agent_name: record.agent_name,
        epoch: standing.epoch,
        plan: record.plan,
        artifact_digest: record.artifact_digest,
        run_directory: record.run_directory,
        approved_by: record.approved_by,
        failure: record.failure,
        backend: record.backend,
        cancel_requested: standing.wish > Wish::None,
        steps: Vec::new(),
    }
}
