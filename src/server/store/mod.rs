//! Everything in SQL: SQLite and PostgreSQL through one text.
//!
//! Rule: SQL stands below this module and nowhere else, and each statement is right on both databases: `$1` places,
//! columns `BIGINT`, `TEXT` and `BLOB`/`BYTEA` only, `CAST(SUM(…) AS BIGINT)`, no boolean. Secrets come and go sealed.
//! Functions that read take `&mut AnyConnection` (both a [`ReadConnection`] and a [`WriteTransaction`] give one),
//! functions that write take `&mut WriteTransaction`.

pub mod agents;
pub mod audit;
pub mod blobs;
pub mod configurations;
pub mod error;
pub mod facts;
pub mod notify;
pub mod open;
pub mod registry_integrations;
pub mod row;
pub mod runs;
pub mod state;
pub mod tokens;
pub mod transaction;
pub mod variables;
pub mod workspaces;

pub use error::{During, StoreError};
pub use open::Database;
pub use sqlx::AnyConnection;
pub use transaction::{ReadConnection, WriteTransaction};

use sqlx::AnyPool;

use crate::clock::Clock;
use crate::protocol::Timestamp;
use row::Columns;

/// The database. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    dialect: Dialect,
    readers: AnyPool,
    writers: AnyPool,
}

/// Which database it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// One process on one machine.
    Sqlite,
    /// Shared by replicas.
    Postgres,
}

impl Store {
    /// Which database it is: for the few statements that differ.
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Now, as everybody who shares the database sees it: leases are given and judged by this. SQLite has one process,
    /// whose `clock` it is; replicas on PostgreSQL have clocks that differ, and the database has one.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn now(&self, connection: &mut AnyConnection, clock: &Clock) -> Result<Timestamp, StoreError> {
        match self.dialect {
            Dialect::Sqlite => Ok(clock.now()),
            Dialect::Postgres => {
                transaction::sql("SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT) AS now")
                    .fetch_one(connection)
                    .await
                    .during("ask the database for the time")?
                    .value("now")
            }
        }
    }
}
