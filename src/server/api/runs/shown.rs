//! A run as people see it.

use crate::protocol::api::Run;
use crate::protocol::run::RunState;
use crate::server::api::{ApiError, ServerState, UserActor, sealed_report};
use crate::server::policy::Protected;
use crate::server::queue::Wish;
use crate::server::store::AnyConnection;
use crate::server::store::agents;
use crate::server::store::runs::{RunRecord, steps};

/// With its steps.
pub(super) async fn with_steps(
    state: &ServerState,
    actor: &UserActor,
    connection: &mut AnyConnection,
    record: RunRecord,
) -> Result<Run, ApiError> {
    let steps = steps::of_run(connection, record.id).await?;
    let waits_for = waits_for(connection, &record).await?;
    Ok(Run { waits_for, steps, ..plain(state, actor, record)? })
}

/// A plan that is kept can be applied only at the path where it was made.
async fn waits_for(connection: &mut AnyConnection, record: &RunRecord) -> Result<Option<String>, ApiError> {
    if record.standing.state != RunState::ApplyQueued || record.standing.artifact.is_none() {
        return Ok(None);
    }
    let root = record.run_directory.as_deref().and_then(|directory| directory.rsplit_once('/'));
    let Some((root, _)) = root else { return Ok(None) };
    let agents = agents::list(connection).await?.into_iter();
    let able = agents.filter(|agent| agent.pool_id == record.pool && agent.run_root.trim_end_matches('/') == root);
    let names: Vec<String> = able.map(|agent| format!("`{}`", agent.name)).collect();
    let who = if names.is_empty() { "none of the pool has it".to_owned() } else { names.join(", ") };
    Ok(Some(format!("waits for an agent whose run root is `{root}`: {who}")))
}

/// Without its steps, for lists.
pub(super) fn plain(state: &ServerState, actor: &UserActor, record: RunRecord) -> Result<Run, ApiError> {
    let standing = record.standing;
    let failure = match (standing.ending, record.failure) {
        (Some(ending), _) => Some(ending.failure(standing.last_step.map(|(_, step)| step))),
        (None, Some(sealed)) => {
            let permit = actor.role.open(Protected::Report)?;
            Some(sealed_report::failure(state, &permit, record.id, sealed))
        }
        (None, None) => None,
    };
    Ok(Run {
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
        failure,
        backend: record.backend,
        cancel_requested: standing.wish > Wish::None,
        waits_for: None,
        agent_last_seen_at: None,
        steps: Vec::new(),
    })
}
