//! What happened to a run, in order.

use sqlx::AnyConnection;

use crate::protocol::Timestamp;
use crate::protocol::api::{RunEvent, RunEventKind};
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;
use crate::server::store::row::Columns;
use crate::server::store::transaction::sql;
use crate::server::store::{During, StoreError, WriteTransaction};

/// Events that one read returns at most.
const PAGE: i64 = 1000;

/// Adds an event.
///
/// # Errors
/// When the database fails.
pub async fn add(tx: &mut WriteTransaction, run: RunId, event: &RunEventKind, at: Timestamp) -> Result<(), StoreError> {
    let text = serde_json::to_string(event)
        .map_err(|source| StoreError::Corrupt { column: "event", source: Box::new(source) })?;
    sql("INSERT INTO run_events (run_id, sequence, at, event) \
         SELECT $1, COALESCE(MAX(sequence), 0) + 1, $2, $3 FROM run_events WHERE run_id = $1")
    .bind(run.to_string())
    .bind(at)
    .bind(text)
    .execute(&mut **tx)
    .await
    .during("write a run's event")
    .map(drop)
}

/// Adds the event of a new state.
///
/// # Errors
/// When the database fails.
pub async fn state(tx: &mut WriteTransaction, run: RunId, state: RunState, at: Timestamp) -> Result<(), StoreError> {
    add(tx, run, &RunEventKind::State { state }, at).await
}

/// The events behind `after`, oldest first.
///
/// # Errors
/// When the database fails.
pub async fn after(connection: &mut AnyConnection, run: RunId, after: i64) -> Result<Vec<RunEvent>, StoreError> {
    let rows = sql("SELECT sequence, at, event FROM run_events WHERE run_id = $1 AND sequence > $2 \
         ORDER BY sequence LIMIT $3")
    .bind(run.to_string())
    .bind(after)
    .bind(PAGE)
    .fetch_all(connection)
    .await
    .during("read a run's events")?;
    rows.iter()
        .map(|row| {
            let text: String = row.value("event")?;
            let kind = serde_json::from_str(&text)
                .map_err(|source| StoreError::Corrupt { column: "event", source: Box::new(source) })?;
            Ok(RunEvent { sequence: row.value("sequence")?, at: row.value("at")?, kind })
        })
        .collect()
}
