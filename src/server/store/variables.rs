//! Variables of workspaces, their values sealed.

use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};
use crate::protocol::api::VariableKind;
use crate::protocol::id::{VariableId, WorkspaceId};

/// A variable as it is kept.
#[derive(Debug, Clone)]
pub struct VariableRow {
    /// Its id.
    pub id: VariableId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// How tofu gets it.
    pub kind: VariableKind,
    /// Its name.
    pub name: String,
    /// The sealed value.
    pub value: Vec<u8>,
    /// Counts its values.
    pub version: i64,
    /// Whether the value is never shown.
    pub sensitive: bool,
    /// For people.
    pub description: String,
    /// When it was set.
    pub updated_at: i64,
}

impl VariableRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let kind: String = row.value("kind")?;
        let kind = VariableKind::ALL.iter().copied().find(|known| known.word() == kind);
        Ok(Self {
            id: row.parsed("id")?,
            workspace: row.parsed("workspace_id")?,
            kind: kind.ok_or_else(|| StoreError::Corrupt { column: "kind", source: "unknown".into() })?,
            name: row.value("name")?,
            value: row.value("value")?,
            version: row.value("version")?,
            sensitive: row.switch("sensitive")?,
            description: row.value("description")?,
            updated_at: row.value("updated_at")?,
        })
    }
}

/// A workspace's variables, by kind and name.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<Vec<VariableRow>, StoreError> {
    let rows = sql("SELECT * FROM variables WHERE workspace_id = $1 ORDER BY kind, name")
        .bind(workspace.to_string())
        .fetch_all(connection)
        .await
        .during("list variables")?;
    rows.iter().map(VariableRow::read).collect()
}

/// One variable.
///
/// # Errors
/// When it cannot be read.
pub async fn get(
    connection: &mut AnyConnection,
    workspace: WorkspaceId,
    kind: VariableKind,
    name: &str,
) -> Result<Option<VariableRow>, StoreError> {
    sql("SELECT * FROM variables WHERE workspace_id = $1 AND kind = $2 AND name = $3")
        .bind(workspace.to_string())
        .bind(kind.word())
        .bind(name)
        .fetch_optional(connection)
        .await
        .during("read a variable")?
        .map(|row| VariableRow::read(&row))
        .transpose()
}

/// Bytes of all sealed values of a workspace.
///
/// # Errors
/// When they cannot be read.
pub async fn total_bytes(connection: &mut AnyConnection, workspace: WorkspaceId) -> Result<i64, StoreError> {
    sql("SELECT CAST(COALESCE(SUM(LENGTH(value)), 0) AS BIGINT) AS bytes FROM variables WHERE workspace_id = $1")
        .bind(workspace.to_string())
        .fetch_one(connection)
        .await
        .during("measure variables")?
        .value("bytes")
}

/// Keeps a variable; replaces the one of this id.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_reference`] when there is no such workspace.
pub async fn put(transaction: &mut WriteTransaction, row: &VariableRow) -> Result<(), StoreError> {
    sql("INSERT INTO variables (id, workspace_id, kind, name, value, version, sensitive, description, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
         ON CONFLICT (id) DO UPDATE SET value = excluded.value, version = excluded.version, \
         sensitive = excluded.sensitive, description = excluded.description, updated_at = excluded.updated_at")
    .bind(row.id.to_string())
    .bind(row.workspace.to_string())
    .bind(row.kind.word())
    .bind(row.name.as_str())
    .bind(row.value.as_slice())
    .bind(row.version)
    .bind(i64::from(row.sensitive))
    .bind(row.description.as_str())
    .bind(row.updated_at)
    .execute(&mut **transaction)
    .await
    .during("write a variable")?;
    Ok(())
}

/// Removes a variable.
///
/// # Errors
/// When it cannot be written.
pub async fn delete(transaction: &mut WriteTransaction, id: VariableId) -> Result<(), StoreError> {
    sql("DELETE FROM variables WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("remove a variable")?;
    Ok(())
}
