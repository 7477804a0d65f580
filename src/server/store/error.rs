//! What can go wrong between us and the database, and the words for it.
//!
//! Rule: every failed statement says what it was for. No message shows a value that was bound.

/// Codes of failures that pass: SQLite's busy; PostgreSQL's lock not available, idle in transaction for too long, and
/// shutdown, crash and start of the database.
const PASSING: &[&str] = &["5", "55P03", "25P03", "57P01", "57P02", "57P03"];

/// Codes of a disk that is full: `SQLITE_FULL`, `SQLITE_IOERR_SHMSIZE` (the WAL's index cannot grow), and PostgreSQL's
/// `disk_full` (<https://sqlite.org/rescode.html>, <https://www.postgresql.org/docs/current/errcodes-appendix.html>).
const FULL: &[&str] = &["13", "4874", "53100"];

/// A failure of the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the {database} database; hint: {hint}")]
    Open {
        /// `SQLite` or `PostgreSQL`.
        database: &'static str,
        /// What to look at.
        hint: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// The database file cannot be made.
    #[error("cannot make the database file {path}")]
    CreateFile {
        /// Which.
        path: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The SQLite in this program has a bug that can lose data.
    #[error("SQLite {version} can corrupt a database in WAL mode; hint: use a build with SQLite 3.51.3 or later")]
    OldSqlite {
        /// The version found.
        version: String,
    },
    /// The URL of the database cannot be used.
    #[error("the database URL {problem}; hint: `postgres://user@host/name?sslmode=verify-full`")]
    Url {
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot bring the database's schema up to date; hint: was it written by a newer nigari?")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// A statement failed.
    #[error("cannot {operation}")]
    Statement {
        /// What it was for: a verb and its object.
        operation: &'static str,
        /// What the driver says.
        #[source]
        source: sqlx::Error,
    },
    /// What was read is not what is there when it is written.
    #[error("the {what} has changed meanwhile")]
    Changed {
        /// What.
        what: &'static str,
    },
    /// A row contains what we never write.
    #[error("the column `{column}` of a stored row is not what nigari writes; hint: was the database edited by hand?")]
    Corrupt {
        /// Which column.
        column: &'static str,
        /// What reading it says.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl StoreError {
    /// Whether a statement failed because what it would write exists already (a unique constraint).
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::Statement { source: sqlx::Error::Database(error), .. } if error.is_unique_violation())
    }

    /// Whether a statement failed because something still refers to the row, or what it refers to is not there.
    pub fn is_reference(&self) -> bool {
        matches!(self, Self::Statement { source: sqlx::Error::Database(error), .. } if error.is_foreign_key_violation())
    }

    /// Whether a text was refused that contains a NUL, which PostgreSQL cannot keep (`character_not_in_repertoire`).
    pub fn is_nul(&self) -> bool {
        let Self::Statement { source: sqlx::Error::Database(error), .. } = self else { return false };
        error.code().is_some_and(|code| code == "22021")
    }

    /// Whether the disk that the database is on is full.
    pub fn is_full(&self) -> bool {
        let Self::Statement { source: sqlx::Error::Database(error), .. } = self else { return false };
        error.code().is_some_and(|code| FULL.contains(&code.as_ref()))
    }

    /// Whether trying again later may work: no connection was free, or the database is away.
    pub fn is_unavailable(&self) -> bool {
        let Self::Statement { source, .. } = self else { return false };
        match source {
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Io(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| PASSING.contains(&code.as_ref())),
            _ => false,
        }
    }
}

/// Says what a statement was for: `….await.during("read a workspace")?`.
pub trait During<T> {
    /// Turns the driver's error into ours.
    ///
    /// # Errors
    /// [`StoreError::Statement`] with this operation.
    fn during(self, operation: &'static str) -> Result<T, StoreError>;
}

impl<T> During<T> for Result<T, sqlx::Error> {
    fn during(self, operation: &'static str) -> Result<T, StoreError> {
        self.map_err(|source| StoreError::Statement { operation, source })
    }
}
