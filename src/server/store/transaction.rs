//! Connections for reading, transactions for writing.
//!
//! Rule: whoever writes holds a [`WriteTransaction`], and there is one writer at a time on either database: SQLite by
//! its single writing connection and `BEGIN IMMEDIATE`, PostgreSQL by an advisory lock taken after `BEGIN`. What a
//! transaction has read is therefore still true when it writes, and one SQL text is right on both. Dropped without
//! [`WriteTransaction::commit`] it leaves nothing behind.

use std::fmt;
use std::ops::{Deref, DerefMut};

use sqlx::AnyConnection;
use sqlx::any::AnyArguments;
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{Any, Transaction};

use super::error::During;
use super::{Dialect, Store, StoreError};

/// One statement with `$1`, `$2`, … as places for values; both databases understand these. Prepared once per
/// connection.
pub(super) fn sql<'q>(text: &'static str) -> Query<'q, Any, AnyArguments> {
    sqlx::query(text)
}

/// A connection for reading; each statement sees what was committed before it.
#[derive(Debug)]
pub struct ReadConnection(PoolConnection<Any>);

impl Deref for ReadConnection {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.0
    }
}

impl DerefMut for ReadConnection {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.0
    }
}

/// A transaction that writes; can be read through like a [`ReadConnection`].
pub struct WriteTransaction {
    transaction: Transaction<'static, Any>,
    after_commit: Vec<Box<dyn FnOnce() + Send>>,
}

impl fmt::Debug for WriteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WriteTransaction").field("after_commit", &self.after_commit.len()).finish_non_exhaustive()
    }
}

impl WriteTransaction {
    /// Calls `tell` once this is committed, in order, and not at all if it is not: for the log, which must not say
    /// what never was.
    pub fn after_commit(&mut self, tell: impl FnOnce() + Send + 'static) {
        self.after_commit.push(Box::new(tell));
    }

    /// Makes everything in it durable: returns after the database has synced it to disk.
    ///
    /// # Errors
    /// When the database cannot; then nothing of it happened, unless the connection broke meanwhile.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.transaction.commit().await.during("commit")?;
        self.after_commit.into_iter().for_each(|tell| tell());
        Ok(())
    }
}

impl Deref for WriteTransaction {
    type Target = AnyConnection;

    fn deref(&self) -> &AnyConnection {
        &self.transaction
    }
}

impl DerefMut for WriteTransaction {
    fn deref_mut(&mut self) -> &mut AnyConnection {
        &mut self.transaction
    }
}

impl Store {
    /// A connection to read with. Never waits for a writer.
    ///
    /// # Errors
    /// When none is free in time or the database is away.
    pub async fn read(&self) -> Result<ReadConnection, StoreError> {
        self.readers.acquire().await.map(ReadConnection).during("get a database connection")
    }

    /// Begins the transaction of a request that writes; waits for the one before it.
    ///
    /// # Errors
    /// When its turn does not come in time or the database is away.
    pub async fn begin_write(&self) -> Result<WriteTransaction, StoreError> {
        let begin = match self.dialect {
            Dialect::Sqlite => "BEGIN IMMEDIATE",
            // Said, because a database's default may be another: then what is read would be older than the turn.
            Dialect::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        };
        let mut transaction = self.writers.begin_with(begin).await.during("begin a transaction")?;
        if self.dialect == Dialect::Postgres {
            // Not together with `BEGIN`: the driver rolls back only what it has counted as begun, and a wait that is given
            // up would leave the lock to an idle connection. The number means nothing; every replica has the same.
            sql("SELECT CAST(pg_advisory_xact_lock(7101001) AS TEXT) AS locked")
                .execute(&mut *transaction)
                .await
                .during("wait for the turn to write")?;
        }
        Ok(WriteTransaction { transaction, after_commit: Vec::new() })
    }
}
