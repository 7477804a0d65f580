//! Agents and agent pools.

use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};
use crate::protocol::api::AgentPool;
use crate::protocol::id::{AgentId, PoolId, RunId};

/// The pool that exists from the first start.
pub const DEFAULT_POOL: &str = "default";

/// An agent as it is kept.
#[derive(Debug, Clone)]
pub struct AgentRow {
    /// Its id.
    pub id: AgentId,
    /// Its pool.
    pub pool_id: PoolId,
    /// Its name.
    pub name: String,
    /// Its program's version.
    pub version: String,
    /// The tofu that it found.
    pub tofu_version: String,
    /// Where its run directories are.
    pub run_root: String,
    /// Runs that it takes at the same time.
    pub concurrency: i64,
    /// When it joined.
    pub joined_at: i64,
    /// When it was last heard of; may be a minute old.
    pub last_seen_at: i64,
    /// Whether it takes nothing new.
    pub draining: bool,
}

impl AgentRow {
    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        Ok(Self {
            id: row.parsed("id")?,
            pool_id: row.parsed("pool_id")?,
            name: row.value("name")?,
            version: row.value("version")?,
            tofu_version: row.value("tofu_version")?,
            run_root: row.value("run_root")?,
            concurrency: row.value("concurrency")?,
            joined_at: row.value("joined_at")?,
            last_seen_at: row.value("last_seen_at")?,
            draining: row.switch("draining")?,
        })
    }
}

/// Writes down when an agent was last heard of.
///
/// # Errors
/// When it cannot be written.
pub async fn set_last_seen(transaction: &mut WriteTransaction, id: AgentId, at: i64) -> Result<(), StoreError> {
    sql("UPDATE agents SET last_seen_at = $1 WHERE id = $2")
        .bind(at)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("write down when an agent was heard of")?;
    Ok(())
}

/// The agent of an id.
///
/// # Errors
/// When it cannot be read.
pub async fn get(connection: &mut AnyConnection, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
    sql("SELECT * FROM agents WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .during("read an agent")?
        .map(|row| AgentRow::read(&row))
        .transpose()
}

/// Every agent, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection) -> Result<Vec<AgentRow>, StoreError> {
    let rows = sql("SELECT * FROM agents ORDER BY name, id").fetch_all(connection).await.during("list agents")?;
    rows.iter().map(AgentRow::read).collect()
}

/// Keeps a new agent, or what a known one says of itself at a new session; leaves alone whether it drains and when it
/// joined.
///
/// # Errors
/// When it cannot be written.
pub async fn put(transaction: &mut WriteTransaction, agent: &AgentRow) -> Result<(), StoreError> {
    sql(
        "INSERT INTO agents (id, pool_id, name, version, tofu_version, run_root, concurrency, joined_at, last_seen_at, \
         draining) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
         ON CONFLICT (id) DO UPDATE SET name = excluded.name, version = excluded.version, \
         tofu_version = excluded.tofu_version, run_root = excluded.run_root, concurrency = excluded.concurrency, \
         last_seen_at = excluded.last_seen_at",
    )
    .bind(agent.id.to_string())
    .bind(agent.pool_id.to_string())
    .bind(agent.name.as_str())
    .bind(agent.version.as_str())
    .bind(agent.tofu_version.as_str())
    .bind(agent.run_root.as_str())
    .bind(agent.concurrency)
    .bind(agent.joined_at)
    .bind(agent.last_seen_at)
    .bind(i64::from(agent.draining))
    .execute(&mut **transaction)
    .await
    .during("write an agent")?;
    Ok(())
}

/// Tells an agent to take nothing new, or lets it again.
///
/// # Errors
/// When it cannot be written.
pub async fn set_draining(transaction: &mut WriteTransaction, id: AgentId, draining: bool) -> Result<(), StoreError> {
    sql("UPDATE agents SET draining = $1 WHERE id = $2")
        .bind(i64::from(draining))
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("drain an agent")?;
    Ok(())
}

/// Removes an agent, with its identity and its sessions. Its runs remember its id.
///
/// # Errors
/// When it cannot be written.
pub async fn delete(transaction: &mut WriteTransaction, id: AgentId) -> Result<(), StoreError> {
    sql("DELETE FROM agents WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("remove an agent")?;
    Ok(())
}

/// Which agent runs what.
///
/// # Errors
/// When it cannot be read.
pub async fn running(connection: &mut AnyConnection) -> Result<Vec<(AgentId, RunId)>, StoreError> {
    let rows = sql("SELECT agent_id, id FROM runs WHERE state IN ('planning', 'applying') AND agent_id IS NOT NULL")
        .fetch_all(connection)
        .await
        .during("read what agents run")?;
    rows.iter().map(|row| Ok((row.parsed("agent_id")?, row.parsed("id")?))).collect()
}

/// Whether a run depends on the agent: one that it has now, or that was lost and of which it alone can tell.
///
/// # Errors
/// When it cannot be read.
pub async fn is_needed(connection: &mut AnyConnection, id: AgentId) -> Result<bool, StoreError> {
    sql("SELECT 1 AS one FROM runs WHERE state IN ('planning', 'applying', 'lost') AND agent_id = $1 LIMIT 1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .during("read whether an agent has a run")
        .map(|row| row.is_some())
}

/// Every pool, by name.
///
/// # Errors
/// When they cannot be read.
pub async fn pools(connection: &mut AnyConnection) -> Result<Vec<AgentPool>, StoreError> {
    let rows =
        sql("SELECT id, name FROM agent_pools ORDER BY name").fetch_all(connection).await.during("list agent pools")?;
    rows.iter().map(|row| Ok(AgentPool { id: row.parsed("id")?, name: row.value("name")? })).collect()
}

/// The pool of a name.
///
/// # Errors
/// When it cannot be read.
pub async fn pool_named(connection: &mut AnyConnection, name: &str) -> Result<Option<PoolId>, StoreError> {
    sql("SELECT id FROM agent_pools WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .during("read an agent pool")?
        .map(|row| row.parsed("id"))
        .transpose()
}

/// Makes a pool.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when the name is taken.
pub async fn insert_pool(transaction: &mut WriteTransaction, pool: &AgentPool, now: i64) -> Result<(), StoreError> {
    sql("INSERT INTO agent_pools (id, name, created_at) VALUES ($1, $2, $3)")
        .bind(pool.id.to_string())
        .bind(pool.name.as_str())
        .bind(now)
        .execute(&mut **transaction)
        .await
        .during("write an agent pool")?;
    Ok(())
}
