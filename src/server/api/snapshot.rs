//! A workspace's variables, sealed into a run when it is made and opened when it is claimed.
//!
//! Rule: the same values go to all steps of a run, whatever is changed meanwhile: a changed value fails a saved plan. What
//! the run is (kind, auto-apply, configuration with its bytes) is bound in, so that a run that opens is the run that was made.

use super::variables::SnapshotOf;
use super::{ApiError, ServerState, UserActor, variables};
use crate::protocol::agent::RunVariable;
use crate::protocol::api::Configuration;
use crate::protocol::id::WorkspaceId;
use crate::server::policy::Permit;
use crate::server::store::configurations::ConfigurationRecord;
use crate::server::store::runs::{RunRecord, new};
use crate::server::store::{AnyConnection, StoreError, configurations};
use crate::server::vault::{Sealed, VaultError};

/// The workspace's variables as they are now, sealed for this run.
pub(super) async fn seal(
    state: &ServerState,
    actor: &UserActor,
    connection: &mut AnyConnection,
    (workspace, of): (WorkspaceId, &SnapshotOf<'_>),
) -> Result<Vec<u8>, ApiError> {
    Ok(variables::snapshot(state, connection, actor, (workspace, of)).await?.into_bytes())
}

/// The run's configuration.
pub(super) async fn configuration(
    connection: &mut AnyConnection,
    record: &RunRecord,
) -> Result<ConfigurationRecord, ApiError> {
    let configuration = configurations::load(connection, record.configuration).await?;
    configuration.ok_or(ApiError::Fault("a run's configuration is missing"))
}

/// The run's variables, if the run, and this configuration of it, are what they were when it was made.
pub(super) async fn open(
    state: &ServerState,
    permit: &Permit,
    connection: &mut AnyConnection,
    (record, configuration): (&RunRecord, &Configuration),
) -> Result<Vec<RunVariable>, ApiError> {
    let sealed = Sealed::from_bytes(new::variables(connection, record.id).await?);
    let (kind, auto_apply) = (record.standing.kind, record.standing.auto_apply);
    let of = SnapshotOf { run: record.id, kind, auto_apply, configuration };
    variables::open_snapshot(state, permit, &of, &sealed)
}

/// Whether this is what opening says of something that was changed, or that another key sealed: trying again will not
/// help.
pub(super) fn is_unreadable(error: &ApiError) -> bool {
    use VaultError as V;
    match error {
        ApiError::Vault(V::Form | V::OtherKey { .. } | V::DoesNotOpen | V::NotText)
        | ApiError::Fault(_)
        | ApiError::Store(StoreError::Corrupt { .. }) => true,
        ApiError::Vault(V::NotPermitted | V::Library) | ApiError::Refused(_) | ApiError::Store(_) => false,
    }
}
