//! Runs in the database: one row each, read whole, written back only where nothing has changed meanwhile.
//!
//! Rule: nothing here decides. A [`RunRecord`] is loaded, `queue` says what follows, [`settle`] writes it with all that
//! hangs on it: the event, the workspace's place, the promotion of the next run.

pub mod claims;
pub mod events;
pub mod finishes;
pub mod list;
pub mod logs;
pub mod new;
pub mod row;
pub mod settle;
pub mod steps;
pub mod watch;

pub use row::RunRecord;

use sqlx::AnyConnection;

use super::transaction::sql;
use super::{During, StoreError};
use crate::protocol::id::RunId;

/// The run, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn load(connection: &mut AnyConnection, id: RunId) -> Result<Option<RunRecord>, StoreError> {
    sql(row::select!("WHERE r.id = $1"))
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .during("read a run")?
        .map(|row| RunRecord::read(&row))
        .transpose()
}
