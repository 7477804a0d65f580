//! Lists of runs, newest first.

use sqlx::AnyConnection;

use super::{RunRecord, row};
use crate::protocol::id::WorkspaceId;
use crate::protocol::run::RunState;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError};

/// What to list.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    /// Only this workspace's.
    pub workspace: Option<WorkspaceId>,
    /// Only those in this state.
    pub state: Option<RunState>,
    /// Only those made before the run with this sequence.
    pub before: Option<i64>,
    /// At most so many.
    pub limit: i64,
}

/// A page of runs.
///
/// # Errors
/// When the database fails.
pub async fn page(connection: &mut AnyConnection, filter: &Filter) -> Result<Vec<RunRecord>, StoreError> {
    // An empty text stands for "any": both databases can then tell the type of each place.
    sql(row::select!(
        "WHERE ($1 = '' OR r.workspace_id = $1) AND ($2 = '' OR r.state = $2) AND r.sequence < $3 \
         ORDER BY r.sequence DESC LIMIT $4"
    ))
    .bind(filter.workspace.map(|id| id.to_string()).unwrap_or_default())
    .bind(filter.state.map(RunState::word).unwrap_or_default())
    .bind(filter.before.unwrap_or(i64::MAX))
    .bind(filter.limit)
    .fetch_all(connection)
    .await
    .during("list runs")?
    .iter()
    .map(RunRecord::read)
    .collect()
}

/// Which backend kept the state in the workspace's newest run that said so.
///
/// # Errors
/// When the database fails.
pub async fn newest_backend(
    connection: &mut AnyConnection,
    workspace: WorkspaceId,
) -> Result<Option<String>, StoreError> {
    sql("SELECT backend FROM runs WHERE workspace_id = $1 AND backend IS NOT NULL ORDER BY sequence DESC LIMIT 1")
        .bind(workspace.to_string())
        .fetch_optional(connection)
        .await
        .during("read which backend keeps a state")?
        .map(|row| row.value("backend"))
        .transpose()
}
