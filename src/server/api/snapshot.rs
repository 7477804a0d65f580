//! A workspace's variables, sealed into a run when it is made and opened when it is claimed.
//!
//! Rule: the same values go to all steps of a run, whatever is changed meanwhile: a changed value fails a saved plan.

use super::{ApiError, ServerState, UserActor, variables};
use crate::protocol::agent::RunVariable;
use crate::protocol::id::{RunId, WorkspaceId};
use crate::server::policy::Permit;
use crate::server::store::AnyConnection;
use crate::server::store::runs::new;
use crate::server::vault::Sealed;

/// The workspace's variables as they are now, sealed for this run.
pub(super) async fn seal(
    state: &ServerState,
    actor: &UserActor,
    connection: &mut AnyConnection,
    (workspace, run): (WorkspaceId, RunId),
) -> Result<Vec<u8>, ApiError> {
    Ok(variables::snapshot(state, connection, actor, (workspace, run)).await?.into_bytes())
}

/// The run's variables.
pub(super) async fn open(
    state: &ServerState,
    permit: &Permit,
    connection: &mut AnyConnection,
    run: RunId,
) -> Result<Vec<RunVariable>, ApiError> {
    let sealed = Sealed::from_bytes(new::variables(connection, run).await?);
    variables::open_snapshot(state, permit, run, &sealed)
}
