//! What the server wants of an agent besides claims.

use sqlx::AnyConnection;

use crate::protocol::id::{AgentId, RunId};
use crate::server::queue::Wish;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError};

/// Runs that the agent has and that a person wants ended, with the wish.
///
/// # Errors
/// When the database fails.
pub async fn wishes(connection: &mut AnyConnection, agent: AgentId) -> Result<Vec<(RunId, Wish)>, StoreError> {
    sql("SELECT id, wish FROM runs WHERE agent_id = $1 AND wish <> 'none' \
         AND state IN ('planning', 'applying') ORDER BY sequence")
    .bind(agent.to_string())
    .fetch_all(connection)
    .await
    .during("read what is wanted of an agent")?
    .iter()
    .map(|row| Ok((row.parsed("id")?, row.parsed("wish")?)))
    .collect()
}

/// Whether the agent is to take nothing new; `None` if it is not there any more.
///
/// # Errors
/// When the database fails.
pub async fn is_draining(connection: &mut AnyConnection, agent: AgentId) -> Result<Option<bool>, StoreError> {
    let row = sql("SELECT draining FROM agents WHERE id = $1")
        .bind(agent.to_string())
        .fetch_optional(connection)
        .await
        .during("read whether an agent drains")?;
    row.map(|row| row.switch("draining")).transpose()
}
