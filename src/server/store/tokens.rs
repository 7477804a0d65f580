//! Tokens: their digests, never their text.

use sqlx::any::AnyRow;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};
use crate::protocol::api::{Token, TokenKind};
use crate::protocol::id::{AgentId, PoolId, TokenId};
use crate::server::policy::Role;

/// A token as it is kept.
#[derive(Debug, Clone)]
pub struct TokenRow {
    /// Its id.
    pub id: TokenId,
    /// Its kind.
    pub kind: TokenKind,
    /// For people; of a session token: the agent's process.
    pub name: String,
    /// User tokens: the role's word; else empty.
    pub role: String,
    /// HMAC of its secret.
    pub digest: Vec<u8>,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: i64,
    /// When it ceases to work.
    pub expires_at: Option<i64>,
    /// When it was last used, to the minute; may be a minute old.
    pub last_used_at: Option<i64>,
    /// When it was revoked.
    pub revoked_at: Option<i64>,
    /// Join tokens: how many agents may still join; absent: any number.
    pub uses_left: Option<i64>,
    /// Join tokens: the pool; agent and session tokens: the agent's pool.
    pub pool_id: Option<PoolId>,
    /// Agent and session tokens: the agent.
    pub agent_id: Option<AgentId>,
}

impl TokenRow {
    /// The role of a user token.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it has none.
    pub fn role(&self) -> Result<Role, StoreError> {
        self.role.parse().map_err(|source| StoreError::Corrupt { column: "role", source: Box::new(source) })
    }

    /// The pool of a join token.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it has none.
    pub fn pool(&self) -> Result<PoolId, StoreError> {
        self.pool_id.ok_or_else(|| StoreError::Corrupt { column: "pool_id", source: "NULL".into() })
    }

    /// The agent of an agent or session token, and its pool.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when it has none.
    pub fn agent(&self) -> Result<(AgentId, PoolId), StoreError> {
        let agent = self.agent_id.ok_or_else(|| StoreError::Corrupt { column: "agent_id", source: "NULL".into() })?;
        Ok((agent, self.pool()?))
    }

    /// As people see it.
    pub fn to_token(&self) -> Token {
        Token {
            id: self.id,
            kind: self.kind,
            name: self.name.clone(),
            role: self.role.clone(),
            created_by: self.created_by.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: self.last_used_at,
            uses_left: self.uses_left,
            revoked: self.revoked_at.is_some(),
        }
    }

    fn read(row: &AnyRow) -> Result<Self, StoreError> {
        let kind: String = row.value("kind")?;
        let kind = TokenKind::ALL.iter().copied().find(|known| known.word() == kind);
        Ok(Self {
            id: row.parsed("id")?,
            kind: kind.ok_or_else(|| StoreError::Corrupt { column: "kind", source: "unknown".into() })?,
            name: row.value("name")?,
            role: row.value("role")?,
            digest: row.value("digest")?,
            created_by: row.value("created_by")?,
            created_at: row.value("created_at")?,
            expires_at: row.value("expires_at")?,
            last_used_at: row.value("last_used_at")?,
            revoked_at: row.value("revoked_at")?,
            uses_left: row.value("uses_left")?,
            pool_id: row.parsed_option("pool_id")?,
            agent_id: row.parsed_option("agent_id")?,
        })
    }
}

/// Keeps a new token.
///
/// # Errors
/// When it cannot be written.
pub async fn insert(transaction: &mut WriteTransaction, token: &TokenRow) -> Result<(), StoreError> {
    sql("INSERT INTO tokens (id, kind, name, role, digest, created_by, created_at, expires_at, last_used_at, revoked_at, \
         uses_left, pool_id, agent_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)")
        .bind(token.id.to_string())
        .bind(token.kind.word())
        .bind(token.name.as_str())
        .bind(token.role.as_str())
        .bind(token.digest.as_slice())
        .bind(token.created_by.as_str())
        .bind(token.created_at)
        .bind(token.expires_at)
        .bind(token.last_used_at)
        .bind(token.revoked_at)
        .bind(token.uses_left)
        .bind(token.pool_id.map(|id| id.to_string()))
        .bind(token.agent_id.map(|id| id.to_string()))
        .execute(&mut **transaction)
        .await
        .during("write a token")?;
    Ok(())
}

/// The token of an id.
///
/// # Errors
/// When it cannot be read.
pub async fn get(connection: &mut AnyConnection, id: TokenId) -> Result<Option<TokenRow>, StoreError> {
    sql("SELECT * FROM tokens WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .during("read a token")?
        .map(|row| TokenRow::read(&row))
        .transpose()
}

/// Tokens of a kind, newest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection, kind: TokenKind) -> Result<Vec<TokenRow>, StoreError> {
    let rows = sql("SELECT * FROM tokens WHERE kind = $1 ORDER BY created_at DESC, id DESC")
        .bind(kind.word())
        .fetch_all(connection)
        .await
        .during("list tokens")?;
    rows.iter().map(TokenRow::read).collect()
}

/// Revokes a token; says whether it worked until now.
///
/// # Errors
/// When it cannot be written.
pub async fn revoke(transaction: &mut WriteTransaction, id: TokenId, now: i64) -> Result<bool, StoreError> {
    let done = sql("UPDATE tokens SET revoked_at = $1 WHERE id = $2 AND revoked_at IS NULL")
        .bind(now)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("revoke a token")?;
    Ok(done.rows_affected() == 1)
}

/// Uses a join token once; says whether there was a use left.
///
/// # Errors
/// When it cannot be written.
pub async fn take_use(transaction: &mut WriteTransaction, id: TokenId) -> Result<bool, StoreError> {
    let done = sql("UPDATE tokens SET uses_left = uses_left - 1 \
                    WHERE id = $1 AND revoked_at IS NULL AND (uses_left IS NULL OR uses_left > 0)")
    .bind(id.to_string())
    .execute(&mut **transaction)
    .await
    .during("use a join token")?;
    Ok(done.rows_affected() == 1)
}

/// Ends an agent's sessions for a new one of `process`. Those of the same process are forgotten. Those of another are
/// revoked and kept until they would have expired: whoever still uses one is told that it was superseded.
///
/// # Errors
/// When it cannot be written.
pub async fn end_sessions(
    transaction: &mut WriteTransaction,
    agent: AgentId,
    process: &str,
    now: i64,
) -> Result<(), StoreError> {
    sql("DELETE FROM tokens WHERE agent_id = $1 AND kind = 'session' \
         AND (expires_at <= $2 OR (name = $3 AND revoked_at IS NULL))")
    .bind(agent.to_string())
    .bind(now)
    .bind(process)
    .execute(&mut **transaction)
    .await
    .during("end an agent's sessions")?;
    sql("UPDATE tokens SET revoked_at = $1 WHERE agent_id = $2 AND kind = 'session' AND revoked_at IS NULL")
        .bind(now)
        .bind(agent.to_string())
        .execute(&mut **transaction)
        .await
        .during("supersede an agent's sessions")?;
    Ok(())
}

/// Writes down when a token was last used.
///
/// # Errors
/// When it cannot be written.
pub async fn set_last_used(transaction: &mut WriteTransaction, id: TokenId, at: i64) -> Result<(), StoreError> {
    sql("UPDATE tokens SET last_used_at = $1 WHERE id = $2")
        .bind(at)
        .bind(id.to_string())
        .execute(&mut **transaction)
        .await
        .during("write down a token's use")?;
    Ok(())
}
