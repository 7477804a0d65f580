//! Audit records: appended, read in order, never changed.

use crate::protocol::api::AuditRecord;

use super::row::Columns;
use super::transaction::sql;
use super::{AnyConnection, During, StoreError, WriteTransaction};

/// A record to append.
#[derive(Debug)]
pub struct NewRecord {
    /// When.
    pub at: i64,
    /// Who.
    pub actor: String,
    /// `<resource>:<action>`.
    pub action: &'static str,
    /// To which: its id.
    pub resource: String,
    /// JSON.
    pub particulars: String,
}

/// Appends a record.
///
/// # Errors
/// When it cannot be written.
pub async fn append(transaction: &mut WriteTransaction, record: &NewRecord) -> Result<(), StoreError> {
    sql("INSERT INTO audit_records (at, actor, action, resource, particulars) VALUES ($1, $2, $3, $4, $5)")
        .bind(record.at)
        .bind(record.actor.as_str())
        .bind(record.action)
        .bind(record.resource.as_str())
        .bind(record.particulars.as_str())
        .execute(&mut **transaction)
        .await
        .during("write an audit record")?;
    Ok(())
}

/// Records with a greater sequence, oldest first.
///
/// # Errors
/// When they cannot be read.
pub async fn list(connection: &mut AnyConnection, after: i64, limit: i64) -> Result<Vec<AuditRecord>, StoreError> {
    let rows = sql("SELECT CAST(sequence AS BIGINT) AS sequence, at, actor, action, resource, particulars \
                    FROM audit_records WHERE sequence > $1 ORDER BY sequence LIMIT $2")
    .bind(after)
    .bind(limit)
    .fetch_all(connection)
    .await
    .during("read audit records")?;
    rows.iter()
        .map(|row| {
            Ok(AuditRecord {
                sequence: row.value("sequence")?,
                at: row.value("at")?,
                actor: row.value("actor")?,
                action: row.value("action")?,
                resource: row.value("resource")?,
                particulars: row.json_option("particulars")?.unwrap_or_default(),
            })
        })
        .collect()
}
