//! Single facts about this installation, by name.

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};

/// The fact of a name.
///
/// # Errors
/// When it cannot be read.
pub async fn get(connection: &mut AnyConnection, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
    sql("SELECT value FROM server_facts WHERE name = $1")
        .bind(name)
        .fetch_optional(connection)
        .await
        .during("read a fact about this installation")?
        .map(|row| row.value("value"))
        .transpose()
}

/// Keeps a fact that is not there yet.
///
/// # Errors
/// When it cannot be written; [`StoreError::is_duplicate`] when there is one.
pub async fn insert(transaction: &mut WriteTransaction, name: &str, value: &[u8]) -> Result<(), StoreError> {
    sql("INSERT INTO server_facts (name, value) VALUES ($1, $2)")
        .bind(name)
        .bind(value)
        .execute(&mut **transaction)
        .await
        .during("write a fact about this installation")?;
    Ok(())
}

/// Keeps a fact, whatever it was before.
///
/// # Errors
/// When it cannot be written.
pub async fn put(transaction: &mut WriteTransaction, name: &str, value: &[u8]) -> Result<(), StoreError> {
    sql("INSERT INTO server_facts (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
        .bind(name)
        .bind(value)
        .execute(&mut **transaction)
        .await
        .during("write a fact about this installation")?;
    Ok(())
}
