//! Uploaded configurations.

use sqlx::AnyConnection;
use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{During, StoreError, WriteTransaction};
use crate::protocol::api::Configuration;
use crate::protocol::id::{BlobId, ConfigurationId, WorkspaceId};

/// A configuration and where its bytes are.
#[derive(Debug, Clone)]
pub struct ConfigurationRecord {
    /// What people see.
    pub configuration: Configuration,
    /// Its bytes.
    pub blob: BlobId,
}

/// Writes a configuration whose blob is there.
///
/// # Errors
/// When the database fails, or the workspace is gone (see [`StoreError::is_reference`]).
pub async fn insert(tx: &mut WriteTransaction, record: &ConfigurationRecord) -> Result<(), StoreError> {
    let configuration = &record.configuration;
    sql("INSERT INTO configurations (id, workspace_id, blob_id, digest, bytes, working_directory, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)")
    .bind(configuration.id.to_string())
    .bind(configuration.workspace.to_string())
    .bind(record.blob.to_string())
    .bind(configuration.digest.as_str())
    .bind(i64::try_from(configuration.bytes).unwrap_or(i64::MAX))
    .bind(configuration.working_directory.as_str())
    .bind(configuration.created_at)
    .execute(&mut **tx)
    .await
    .during("write a configuration")
    .map(drop)
}

/// A configuration.
///
/// # Errors
/// When the database fails.
pub async fn load(
    connection: &mut AnyConnection,
    id: ConfigurationId,
) -> Result<Option<ConfigurationRecord>, StoreError> {
    sql("SELECT id, workspace_id, blob_id, digest, bytes, working_directory, created_at FROM configurations \
         WHERE id = $1")
    .bind(id.to_string())
    .fetch_optional(connection)
    .await
    .during("read a configuration")?
    .map(|row| read(&row))
    .transpose()
}

/// The blob of a configuration with the same bytes in the same workspace.
///
/// # Errors
/// When the database fails.
pub async fn same_bytes(
    connection: &mut AnyConnection,
    workspace: WorkspaceId,
    digest: &str,
) -> Result<Option<BlobId>, StoreError> {
    sql("SELECT blob_id FROM configurations WHERE workspace_id = $1 AND digest = $2 LIMIT 1")
        .bind(workspace.to_string())
        .bind(digest.to_owned())
        .fetch_optional(connection)
        .await
        .during("look for the same configuration")?
        .map(|row| row.parsed("blob_id"))
        .transpose()
}

fn read(row: &AnyRow) -> Result<ConfigurationRecord, StoreError> {
    let configuration = Configuration {
        id: row.parsed("id")?,
        workspace: row.parsed("workspace_id")?,
        digest: row.value("digest")?,
        bytes: u64::try_from(row.value::<i64>("bytes")?).unwrap_or(0),
        working_directory: row.value("working_directory")?,
        created_at: row.value("created_at")?,
    };
    Ok(ConfigurationRecord { configuration, blob: row.parsed("blob_id")? })
}
