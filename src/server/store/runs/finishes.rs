//! Reports of a phase's end, and receipts.

use sqlx::AnyConnection;

use crate::protocol::Timestamp;
use crate::protocol::id::{AgentId, RunId};
use crate::protocol::run::Phase;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// A report as it is kept.
#[derive(Debug)]
pub struct FinishRecord {
    /// The run.
    pub run: RunId,
    /// The claim's epoch.
    pub epoch: i64,
    /// The phase.
    pub phase: Phase,
    /// Keyed digest of its content: a repeat has the same.
    pub digest: String,
    /// The word of the answer.
    pub next: &'static str,
    /// Whether it came too late to count.
    pub evidence: bool,
    /// The report, sealed.
    pub body: Vec<u8>,
    /// When it came.
    pub received_at: Timestamp,
}

/// A receipt as it is kept.
#[derive(Debug)]
pub struct ReceiptRecord {
    /// Of which phase.
    pub phase: Phase,
    /// Under which claim.
    pub epoch: i64,
    /// Whose.
    pub agent: AgentId,
    /// The receipt, sealed.
    pub sealed: Vec<u8>,
}

/// Keeps a report; one per (run, epoch, phase).
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut WriteTransaction, record: &FinishRecord) -> Result<(), StoreError> {
    sql("INSERT INTO finishes (run_id, epoch, phase, digest, next, evidence, body, received_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (run_id, epoch, phase) DO NOTHING")
    .bind(record.run.to_string())
    .bind(record.epoch)
    .bind(record.phase.word())
    .bind(record.digest.as_str())
    .bind(record.next)
    .bind(i64::from(record.evidence))
    .bind(record.body.as_slice())
    .bind(record.received_at)
    .execute(&mut **tx)
    .await
    .during("write a phase's end")
    .map(drop)
}

/// The answer that a report with this content got, if it counted.
///
/// # Errors
/// When the database fails.
pub async fn answered(
    connection: &mut AnyConnection,
    run: RunId,
    epoch: i64,
    digest: &str,
) -> Result<Option<String>, StoreError> {
    sql("SELECT next FROM finishes WHERE run_id = $1 AND epoch = $2 AND digest = $3 AND evidence = 0")
        .bind(run.to_string())
        .bind(epoch)
        .bind(digest.to_owned())
        .fetch_optional(connection)
        .await
        .during("read a phase's end")?
        .map(|row| row.value("next"))
        .transpose()
}

/// The answer that the report of this phase's end got, if there was one.
///
/// # Errors
/// When the database fails.
pub async fn next(
    connection: &mut AnyConnection,
    run: RunId,
    epoch: i64,
    phase: Phase,
) -> Result<Option<String>, StoreError> {
    sql("SELECT next FROM finishes WHERE run_id = $1 AND epoch = $2 AND phase = $3")
        .bind(run.to_string())
        .bind(epoch)
        .bind(phase.word())
        .fetch_optional(connection)
        .await
        .during("read whether a phase has ended")?
        .map(|row| row.value("next"))
        .transpose()
}

/// Keeps a receipt; the first of (run, epoch, phase) counts. Says whether it was the first.
///
/// # Errors
/// When the database fails.
pub async fn add_receipt(
    tx: &mut WriteTransaction,
    receipt: &ReceiptRecord,
    run: RunId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    sql("INSERT INTO receipts (run_id, epoch, phase, agent_id, receipt, received_at) VALUES ($1, $2, $3, $4, $5, $6) \
         ON CONFLICT (run_id, epoch, phase) DO NOTHING")
    .bind(run.to_string())
    .bind(receipt.epoch)
    .bind(receipt.phase.word())
    .bind(receipt.agent.to_string())
    .bind(receipt.sealed.as_slice())
    .bind(now)
    .execute(&mut **tx)
    .await
    .during("write a receipt")
    .map(|done| done.rows_affected() > 0)
}

/// The run's receipts, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn receipts(connection: &mut AnyConnection, run: RunId) -> Result<Vec<ReceiptRecord>, StoreError> {
    sql("SELECT epoch, phase, agent_id, receipt FROM receipts WHERE run_id = $1 ORDER BY received_at, epoch")
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .during("read a run's receipts")?
        .iter()
        .map(|row| {
            Ok(ReceiptRecord {
                phase: row.parsed("phase")?,
                epoch: row.value("epoch")?,
                agent: row.parsed("agent_id")?,
                sealed: row.value("receipt")?,
            })
        })
        .collect()
}
