//! Workspaces. Which run occupies one, and who holds its state's lock, is written by `runs` and `state`.

use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};
use crate::protocol::api::{StateLock, Workspace};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::{PoolId, RunId, WorkspaceId};

/// A workspace as it is kept.
#[derive(Debug, Clone)]
pub struct WorkspaceRow {
    /// Its id.
    pub id: WorkspaceId,
    /// Its name.
    pub name: String,
    /// For people.
    pub description: String,
    /// Its agent pool.
    pub pool_id: PoolId,
    /// Its agent pool's name.
    pub pool: String,
    /// Whether runs are applied without approval unless they say otherwise.
    pub auto_apply: bool,
    /// How credentials come to tofu in its runs.
    pub delivery: DeliveryChoice,
    /// Whether its runs want credentials for plan and apply too.
    pub whole_run: bool,
    /// When it was made.
    pub created_at: i64,
    /// Counts its changes.
    pub revision: i64,
    /// The run that occupies it.
    pub active_run: Option<RunId>,
    /// Who holds the state's lock.
    pub state_lock: Option<StateLock>,
    /// Serial of the newest state.
    pub state_serial: Option<i64>,
}

impl WorkspaceRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            name: row.value("name")?,
            description: row.value("description")?,
            pool_id: row.parsed("pool_id")?,
            pool: row.value("pool")?,
            auto_apply: row.switch("auto_apply")?,
            delivery: row.parsed("delivery")?,
            whole_run: row.switch("whole_run")?,
            created_at: row.value("created_at")?,
            revision: row.value("revision")?,
            active_run: row.parsed_option("active_run_id")?,
            state_lock: row.json_option("state_lock")?,
            state_serial: row.value("state_serial")?,
        })
    }

    /// As people see it.
    pub fn to_workspace(&self) -> Workspace {
        Workspace {
            id: self.id,
            name: self.name.clone(),
            description: self.description.clone(),
            pool: self.pool.clone(),
            auto_apply: self.auto_apply,
            delivery: self.delivery,
            whole_run: self.whole_run,
            created_at: self.created_at,
            active_run: self.active_run,
            state_lock: self.state_lock.clone(),
            state_serial: self.state_serial,
        }
    }
}

/// Every workspace, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection) -> Result<Vec<WorkspaceRow>, StoreError> {
    let rows =
        sql("SELECT w.*, p.name AS pool FROM workspaces w JOIN agent_pools p ON p.id = w.pool_id ORDER BY w.name")
            .fetch_all(connection)
            .await
            .during("list workspaces")?;
    rows.iter().map(WorkspaceRow::read).collect()
}

/// The workspace of an id or, failing that, a name.
///
/// # Errors
/// When it cannot be read.
pub async fn find(connection: &mut AnyConnection, id_or_name: &str) -> Result<Option<WorkspaceRow>, StoreError> {
    sql("SELECT w.*, p.name AS pool FROM workspaces w JOIN agent_pools p ON p.id = w.pool_id \
         WHERE w.id = $1 OR w.name = $1")
    .bind(id_or_name)
    .fetch_optional(connection)
    .await
    .during("read a workspace")?
    .map(|row| WorkspaceRow::read(&row))
    .transpose()
}

/// Keeps a new workspace.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when the name is taken.
pub async fn insert(transaction: &mut WriteTransaction, row: &WorkspaceRow) -> Result<(), StoreError> {
    sql("INSERT INTO workspaces (id, name, description, pool_id, auto_apply, created_at, revision, delivery, whole_run) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)")
    .bind(row.id.to_string())
    .bind(row.name.as_str())
    .bind(row.description.as_str())
    .bind(row.pool_id.to_string())
    .bind(i64::from(row.auto_apply))
    .bind(row.created_at)
    .bind(row.revision)
    .bind(row.delivery.word())
    .bind(i64::from(row.whole_run))
    .execute(&mut **transaction)
    .await
    .during("write a workspace")?;
    Ok(())
}

/// Writes a workspace's settings; leaves alone what occupies it and its state.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when the name is taken.
pub async fn update(transaction: &mut WriteTransaction, row: &WorkspaceRow) -> Result<(), StoreError> {
    sql("UPDATE workspaces SET name = $1, description = $2, pool_id = $3, auto_apply = $4, revision = $5, \
         delivery = $6, whole_run = $7 WHERE id = $8")
    .bind(row.name.as_str())
    .bind(row.description.as_str())
    .bind(row.pool_id.to_string())
    .bind(i64::from(row.auto_apply))
    .bind(row.revision)
    .bind(row.delivery.word())
    .bind(i64::from(row.whole_run))
    .bind(row.id.to_string())
    .execute(&mut **transaction)
    .await
    .during("change a workspace")?;
    Ok(())
}

/// Removes a workspace with its variables, configurations, runs and states.
///
/// # Errors
/// When it cannot be written.
pub async fn delete(transaction: &mut WriteTransaction, id: WorkspaceId) -> Result<(), StoreError> {
    sql("DELETE FROM workspaces WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("remove a workspace")?;
    Ok(())
}
