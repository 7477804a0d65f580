//! Versions of a workspace's state.
//!
//! Rule: versions are added, never changed; the newest is the one that was added last.

pub mod lock;

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{During, StoreError, WriteTransaction};
use crate::protocol::api::StateVersion;
use crate::protocol::id::{BlobId, WorkspaceId};

/// Versions that a list shows at most.
const PAGE: i64 = 200;

/// A version and where its bytes are.
#[derive(Debug, Clone)]
pub struct StateRecord {
    /// What people see.
    pub version: StateVersion,
    /// Its bytes.
    pub blob: BlobId,
}

/// The newest version.
///
/// # Errors
/// When the database fails.
pub async fn newest(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<Option<StateRecord>, StoreError> {
    Ok(versions_up_to(connection, workspace, 1).await?.pop())
}

/// The versions, newest first.
///
/// # Errors
/// When the database fails.
pub async fn versions(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<Vec<StateRecord>, StoreError> {
    versions_up_to(connection, workspace, PAGE).await
}

async fn versions_up_to(
    connection: &mut AnyConnection,
    workspace: WorkspaceId,
    limit: i64,
) -> Result<Vec<StateRecord>, StoreError> {
    sql("SELECT id, blob_id, serial, lineage, bytes, digest, created_at, run_id, created_by FROM state_versions \
         WHERE workspace_id = $1 ORDER BY sequence DESC LIMIT $2")
    .bind(workspace.to_string())
    .bind(limit)
    .fetch_all(connection)
    .await
    .during("read versions of a state")?
    .iter()
    .map(read)
    .collect()
}

/// Adds a version and lets the workspace show its serial.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut WriteTransaction, workspace: WorkspaceId, record: &StateRecord) -> Result<(), StoreError> {
    let version = &record.version;
    sql("INSERT INTO state_versions (id, workspace_id, blob_id, serial, lineage, bytes, digest, created_at, run_id, \
         created_by) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)")
    .bind(version.id.to_string())
    .bind(workspace.to_string())
    .bind(record.blob.to_string())
    .bind(version.serial)
    .bind(version.lineage.as_str())
    .bind(i64::try_from(version.bytes).unwrap_or(i64::MAX))
    .bind(version.digest.as_str())
    .bind(version.created_at)
    .bind(version.run.map(|run| run.to_string()))
    .bind(version.created_by.clone())
    .execute(&mut **tx)
    .await
    .during("write a version of a state")?;
    sql("UPDATE workspaces SET state_serial = $1, state_lineage = $2 WHERE id = $3")
        .bind(version.serial)
        .bind(version.lineage.as_str())
        .bind(workspace.to_string())
        .execute(&mut **tx)
        .await
        .during("write a workspace's serial")
        .map(drop)
}

fn read(row: &AnyRow) -> Result<StateRecord, StoreError> {
    let version = StateVersion {
        id: row.parsed("id")?,
        serial: row.value("serial")?,
        lineage: row.value("lineage")?,
        bytes: u64::try_from(row.value::<i64>("bytes")?).unwrap_or(0),
        digest: row.value("digest")?,
        created_at: row.value("created_at")?,
        run: row.parsed_option("run_id")?,
        created_by: row.value("created_by")?,
    };
    Ok(StateRecord { version, blob: row.parsed("blob_id")? })
}
