//! A workspace's variables, sealed into a run when it is made and opened when it is claimed.
//!
//! Rule: the same values go to all steps of a run, whatever is changed meanwhile: a changed value fails a saved plan.

use zeroize::Zeroizing;

use super::{ApiError, ServerState, UserActor};
use crate::protocol::agent::RunVariable;
use crate::protocol::id::{RunId, WorkspaceId};
use crate::server::policy::{Permit, Protected};
use crate::server::store::runs::new;
use crate::server::store::{AnyConnection, variables};
use crate::server::vault::{Context, Sealed};

fn context(run: RunId) -> Context {
    Context::new(Protected::RunVariables, &run, 1, "variables")
}

fn variable_context(row: &variables::VariableRow) -> Context {
    Context::new(Protected::Variable, &row.id, row.version, "value")
}

/// The workspace's variables as they are now, sealed for this run.
pub(super) async fn seal(
    state: &ServerState,
    actor: &UserActor,
    connection: &mut AnyConnection,
    (workspace, run): (WorkspaceId, RunId),
) -> Result<Vec<u8>, ApiError> {
    let may_open = actor.role.open(Protected::Variable)?;
    let may_seal = actor.role.seal(Protected::RunVariables)?;
    let mut opened = Vec::new();
    for row in variables::list(connection, workspace).await? {
        let context = variable_context(&row);
        let value = state.vault.open(&may_open, &context, &Sealed::from_bytes(row.value))?;
        opened.push(RunVariable { kind: row.kind, name: row.name, value, sensitive: row.sensitive });
    }
    let text = Zeroizing::new(
        serde_json::to_vec(&opened).map_err(|_| ApiError::Fault("a run's variables cannot be written"))?,
    );
    Ok(state.vault.seal_bytes(&may_seal, &context(run), &text)?.into_bytes())
}

/// The run's variables.
pub(super) async fn open(
    state: &ServerState,
    permit: &Permit,
    connection: &mut AnyConnection,
    run: RunId,
) -> Result<Vec<RunVariable>, ApiError> {
    let sealed = Sealed::from_bytes(new::variables(connection, run).await?);
    let text = state.vault.open_bytes(permit, &context(run), &sealed)?;
    serde_json::from_slice(&text).map_err(|_| ApiError::Fault("a run's variables cannot be read"))
}
