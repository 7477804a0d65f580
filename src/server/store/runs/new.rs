//! A run is made: its row, its place in the workspace.

use sqlx::AnyConnection;

use crate::protocol::Timestamp;
use crate::protocol::id::{ConfigurationId, RunId, WorkspaceId};
use crate::protocol::run::RunKind;
use crate::server::queue::{Standing, Topic};
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

use super::{RunRecord, events, load};

/// What a run is made of.
#[derive(Debug)]
pub struct NewRunRecord {
    /// Its id.
    pub id: RunId,
    /// Its workspace.
    pub workspace: WorkspaceId,
    /// Its configuration, of the same workspace.
    pub configuration: ConfigurationId,
    /// What for.
    pub kind: RunKind,
    /// Whether it is applied without approval.
    pub auto_apply: bool,
    /// For people.
    pub message: String,
    /// The workspace's variables as they are now, sealed for this run together with what it is.
    pub variables: Vec<u8>,
    /// Who makes it.
    pub created_by: String,
    /// Now.
    pub created_at: Timestamp,
}

/// Makes the run; `None` when workspace or configuration do not exist or do not belong together.
///
/// # Errors
/// When the database fails.
pub async fn insert(
    tx: &mut WriteTransaction,
    new: &NewRunRecord,
) -> Result<Option<(RunRecord, Vec<Topic>)>, StoreError> {
    let workspace = sql("SELECT w.active_run_id FROM workspaces w JOIN configurations c ON c.workspace_id = w.id \
         WHERE w.id = $1 AND c.id = $2")
    .bind(new.workspace.to_string())
    .bind(new.configuration.to_string())
    .fetch_optional(&mut **tx)
    .await
    .during("read a run's workspace")?;
    let Some(workspace) = workspace else { return Ok(None) };
    let occupied = workspace.value::<Option<String>>("active_run_id")?.is_some();
    let standing = Standing::new(new.kind, new.auto_apply, occupied);
    write(tx, new, &standing).await?;
    events::state(tx, new.id, standing.state, new.created_at).await?;
    if standing.occupies() {
        occupy(tx, new.workspace, new.id).await?;
    }
    let Some(record) = load(&mut *tx, new.id).await? else { return Ok(None) };
    let topics = vec![Topic::Pool(record.pool), Topic::Run(record.id)];
    Ok(Some((record, topics)))
}

async fn write(tx: &mut WriteTransaction, new: &NewRunRecord, standing: &Standing) -> Result<(), StoreError> {
    sql("INSERT INTO runs (id, workspace_id, configuration_id, kind, auto_apply, message, created_by, created_at, \
         variables, state, epoch, tries, wish) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
    .bind(new.id.to_string())
    .bind(new.workspace.to_string())
    .bind(new.configuration.to_string())
    .bind(standing.kind.word())
    .bind(i64::from(standing.auto_apply))
    .bind(new.message.as_str())
    .bind(new.created_by.as_str())
    .bind(new.created_at)
    .bind(new.variables.as_slice())
    .bind(standing.state.word())
    .bind(standing.epoch)
    .bind(i64::from(standing.tries))
    .bind(standing.wish.word())
    .execute(&mut **tx)
    .await
    .during("make a run")
    .map(drop)
}

pub(super) async fn occupy(tx: &mut WriteTransaction, workspace: WorkspaceId, run: RunId) -> Result<(), StoreError> {
    sql("UPDATE workspaces SET active_run_id = $1 WHERE id = $2")
        .bind(run.to_string())
        .bind(workspace.to_string())
        .execute(&mut **tx)
        .await
        .during("give a run its workspace")
        .map(drop)
}

/// The run's variables, sealed for it.
///
/// # Errors
/// When the database fails.
pub async fn variables(connection: &mut AnyConnection, run: RunId) -> Result<Vec<u8>, StoreError> {
    sql("SELECT variables FROM runs WHERE id = $1")
        .bind(run.to_string())
        .fetch_one(connection)
        .await
        .during("read a run's variables")?
        .value("variables")
}
