//! The steps that were reported.

use sqlx::AnyConnection;

use super::RunRecord;
use crate::protocol::Timestamp;
use crate::protocol::api::StepRecord;
use crate::protocol::id::{RequestId, RunId};
use crate::protocol::run::{Phase, Step};
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// Writes the report of a step under the run's newest claim.
///
/// # Errors
/// When the database fails.
pub async fn add(
    tx: &mut WriteTransaction,
    record: &RunRecord,
    (phase, step): (Phase, Step),
    request: RequestId,
    now: Timestamp,
) -> Result<(), StoreError> {
    sql("INSERT INTO run_steps (run_id, epoch, phase, step, request, started_at) VALUES ($1, $2, $3, $4, $5, $6)")
        .bind(record.id.to_string())
        .bind(record.standing.epoch)
        .bind(phase.word())
        .bind(step.word())
        .bind(request.to_string())
        .bind(now)
        .execute(&mut **tx)
        .await
        .during("write a step")
        .map(drop)
}

/// The request that reported the step in this epoch.
///
/// # Errors
/// When the database fails.
pub async fn request_of(
    connection: &mut AnyConnection,
    record: &RunRecord,
    (phase, step): (Phase, Step),
) -> Result<Option<RequestId>, StoreError> {
    sql("SELECT request FROM run_steps WHERE run_id = $1 AND epoch = $2 AND phase = $3 AND step = $4")
        .bind(record.id.to_string())
        .bind(record.standing.epoch)
        .bind(phase.word())
        .bind(step.word())
        .fetch_optional(connection)
        .await
        .during("read a step")?
        .map(|row| row.parsed("request"))
        .transpose()
}

/// Whether the start of the apply was reported in this epoch.
///
/// # Errors
/// When the database fails.
pub async fn apply_started(connection: &mut AnyConnection, run: RunId, epoch: i64) -> Result<bool, StoreError> {
    sql("SELECT 1 AS one FROM run_steps WHERE run_id = $1 AND epoch = $2 AND phase = 'apply' AND step = 'apply'")
        .bind(run.to_string())
        .bind(epoch)
        .fetch_optional(connection)
        .await
        .during("read whether an apply was started")
        .map(|row| row.is_some())
}

/// All reported steps of a run, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn of_run(connection: &mut AnyConnection, run: RunId) -> Result<Vec<StepRecord>, StoreError> {
    sql("SELECT epoch, phase, step, started_at FROM run_steps WHERE run_id = $1 ORDER BY epoch, started_at")
        .bind(run.to_string())
        .fetch_all(connection)
        .await
        .during("read a run's steps")?
        .iter()
        .map(|row| {
            Ok(StepRecord {
                phase: row.parsed("phase")?,
                step: row.parsed("step")?,
                epoch: row.value("epoch")?,
                started_at: row.value("started_at")?,
            })
        })
        .collect()
}
