//! The lock of a workspace's state, and whose it is.

use sqlx::AnyConnection;

use crate::protocol::api::StateLock;
use crate::protocol::id::{RunId, WorkspaceId};
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// A lock that is held.
#[derive(Debug, Clone)]
pub struct HeldLock {
    /// tofu's own words.
    pub lock: StateLock,
    /// The run and the claim's epoch, when a run holds it.
    pub run: Option<(RunId, i64)>,
}

/// Who holds the lock.
///
/// # Errors
/// When the database fails.
pub async fn holder(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<Option<HeldLock>, StoreError> {
    let row = sql("SELECT state_lock, state_lock_run_id, state_lock_epoch FROM workspaces WHERE id = $1")
        .bind(workspace.to_string())
        .fetch_optional(connection)
        .await
        .during("read a state's lock")?;
    let Some(row) = row else { return Ok(None) };
    let Some(lock) = row.json_option::<StateLock>("state_lock")? else { return Ok(None) };
    let epoch: Option<i64> = row.value("state_lock_epoch")?;
    Ok(Some(HeldLock { lock, run: row.parsed_option("state_lock_run_id")?.zip(epoch) }))
}

/// Takes the lock, or gets whose it is. The same lock taken again by the same holder is taken.
///
/// # Errors
/// When the database fails.
pub async fn take(
    tx: &mut WriteTransaction,
    workspace: WorkspaceId,
    wanted: &HeldLock,
) -> Result<Result<(), HeldLock>, StoreError> {
    if let Some(held) = holder(&mut *tx, workspace).await? {
        let same = held.lock.id == wanted.lock.id && held.run == wanted.run;
        return Ok(if same { Ok(()) } else { Err(held) });
    }
    let text = serde_json::to_string(&wanted.lock)
        .map_err(|source| StoreError::Corrupt { column: "state_lock", source: Box::new(source) })?;
    sql("UPDATE workspaces SET state_lock_id = $1, state_lock = $2, state_lock_run_id = $3, state_lock_epoch = $4 \
         WHERE id = $5")
    .bind(wanted.lock.id.as_str())
    .bind(text)
    .bind(wanted.run.map(|(run, _)| run.to_string()))
    .bind(wanted.run.map(|(_, epoch)| epoch))
    .bind(workspace.to_string())
    .execute(&mut **tx)
    .await
    .during("take a state's lock")?;
    Ok(Ok(()))
}

/// Frees the lock, whoever holds it.
///
/// # Errors
/// When the database fails.
pub async fn release(tx: &mut WriteTransaction, workspace: WorkspaceId) -> Result<(), StoreError> {
    sql("UPDATE workspaces SET state_lock_id = NULL, state_lock = NULL, state_lock_run_id = NULL, \
         state_lock_epoch = NULL WHERE id = $1")
    .bind(workspace.to_string())
    .execute(&mut **tx)
    .await
    .during("free a state's lock")
    .map(drop)
}

/// Frees the lock if this run holds it.
///
/// # Errors
/// When the database fails.
pub async fn release_of_run(tx: &mut WriteTransaction, workspace: WorkspaceId, run: RunId) -> Result<(), StoreError> {
    match holder(&mut *tx, workspace).await? {
        Some(held) if held.run.is_some_and(|(holder, _)| holder == run) => release(tx, workspace).await,
        _ => Ok(()),
    }
}
