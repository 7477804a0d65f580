//! Which blob is the log of (run, phase, epoch).

use sqlx::AnyConnection;

use crate::protocol::id::{BlobId, RunId};
use crate::protocol::run::Phase;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// The log of exactly this claim.
///
/// # Errors
/// When the database fails.
pub async fn of_claim(
    connection: &mut AnyConnection,
    run: RunId,
    phase: Phase,
    epoch: i64,
) -> Result<Option<BlobId>, StoreError> {
    sql("SELECT blob_id FROM run_logs WHERE run_id = $1 AND phase = $2 AND epoch = $3")
        .bind(run.to_string())
        .bind(phase.word())
        .bind(epoch)
        .fetch_optional(connection)
        .await
        .during("find a log")?
        .map(|row| row.parsed("blob_id"))
        .transpose()
}

/// The log of the newest claim that wrote one, and that claim's epoch.
///
/// # Errors
/// When the database fails.
pub async fn newest(
    connection: &mut AnyConnection,
    run: RunId,
    phase: Phase,
) -> Result<Option<(BlobId, i64)>, StoreError> {
    sql("SELECT blob_id, epoch FROM run_logs WHERE run_id = $1 AND phase = $2 ORDER BY epoch DESC LIMIT 1")
        .bind(run.to_string())
        .bind(phase.word())
        .fetch_optional(connection)
        .await
        .during("find the newest log")?
        .map(|row| Ok((row.parsed("blob_id")?, row.value("epoch")?)))
        .transpose()
}

/// Makes this blob the log of the claim.
///
/// # Errors
/// When the database fails or there is one already.
pub async fn begin(
    tx: &mut WriteTransaction,
    run: RunId,
    phase: Phase,
    epoch: i64,
    blob: BlobId,
) -> Result<(), StoreError> {
    sql("INSERT INTO run_logs (run_id, phase, epoch, blob_id) VALUES ($1, $2, $3, $4)")
        .bind(run.to_string())
        .bind(phase.word())
        .bind(epoch)
        .bind(blob.to_string())
        .execute(&mut **tx)
        .await
        .during("begin a log")
        .map(drop)
}
