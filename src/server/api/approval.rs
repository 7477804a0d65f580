//! A person's approval, so that it can be told from one that only the database knows of.
//!
//! Rule: what a person approved is one plan (its artifact's digest) of one run, of one configuration, at one path, and
//! the mark over all of it is made when they do it. No apply is handed out, and no artifact, without a mark that holds.

use super::{ApiError, ServerState, UserActor, snapshot};
use crate::server::policy::{Permit, Protected};
use crate::server::store::AnyConnection;
use crate::server::store::runs::RunRecord;
use crate::server::vault::{Context, VaultError};

/// The mark of the approval that the record names: who approves is in it already.
pub(super) async fn mark(
    state: &ServerState,
    actor: &UserActor,
    connection: &mut AnyConnection,
    record: &RunRecord,
) -> Result<Vec<u8>, ApiError> {
    let permit = actor.role.seal(Protected::Approval)?;
    let context = context(connection, record).await?;
    Ok(state.vault.mark(&permit, &context, &[])?)
}

/// Whether the approval that the record names was given.
pub(super) async fn is_given(
    state: &ServerState,
    permit: &Permit,
    connection: &mut AnyConnection,
    record: &RunRecord,
) -> Result<bool, ApiError> {
    let Some(mark) = &record.approval else { return Ok(false) };
    match state.vault.check_mark(permit, &context(connection, record).await?, &[], mark) {
        Ok(()) => Ok(true),
        Err(VaultError::DoesNotOpen) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn context(connection: &mut AnyConnection, record: &RunRecord) -> Result<Context, ApiError> {
    let configuration = snapshot::configuration(connection, record).await?.configuration;
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    Ok(Context::new(Protected::Approval, &record.id, 1, "approval")
        .within(&record.workspace)
        .within(&configuration.id)
        .within(&configuration.digest)
        .within(&configuration.working_directory)
        .within(&or_nothing(&record.artifact_digest))
        .within(&or_nothing(&record.run_directory))
        .within(&or_nothing(&record.approved_by)))
}
