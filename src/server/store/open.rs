//! Opening a database: connections set up the safe way, schema brought up to date.
//!
//! Rule: SQLite runs in WAL mode with `synchronous=FULL` and one writing connection (what is acknowledged survives
//! power loss); PostgreSQL on another host is talked to with a verified certificate or not at all.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool};
use sqlx::{Connection, Executor, Row};
use url::Url;

use super::{Dialect, Store, StoreError};
use crate::clock::BootInstant;
use crate::secret::Secret;

/// `3.51.3` fixed the loss of WAL frames when a checkpoint and a reset meet (<https://sqlite.org/wal.html>).
const OLDEST_SQLITE: (u32, u32, u32) = (3, 51, 3);
/// How long a request waits for its turn to write or for a free connection before it is told to try again.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries to reach PostgreSQL at the start.
const REACH_PAUSE: Duration = Duration::from_millis(500);
const READERS: u32 = 4;

/// Where the data is.
#[derive(Debug)]
pub enum Database {
    /// A file; made 0600 if it does not exist.
    Sqlite(PathBuf),
    /// `postgres://…`, may contain a password.
    Postgres(Secret),
}

impl Store {
    /// Opens the database and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError`] with a hint.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);
        let store = match database {
            Database::Sqlite(path) => open_sqlite(path).await?,
            Database::Postgres(url) => open_postgres(url).await?,
        };
        let migrated = match store.dialect {
            Dialect::Sqlite => sqlx::migrate!("src/server/store/migrations/sqlite").run(&store.writers).await,
            Dialect::Postgres => sqlx::migrate!("src/server/store/migrations/postgres").run(&store.writers).await,
        };
        migrated.map_err(StoreError::Migrate)?;
        Ok(store)
    }

    /// Ends every connection; SQLite then folds its WAL into the database file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writers.close().await;
    }
}

async fn open_sqlite(path: &Path) -> Result<Store, StoreError> {
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::CreateFile { path: path.display().to_string(), source })?;
    let failed = |source| StoreError::Open {
        database: "SQLite",
        hint: "is it on a local file system, ours to write, and not a file of something else?",
        source,
    };
    let mut url = Url::from_file_path(path).map_err(|()| StoreError::Url { problem: "is not an absolute path" })?;
    // `file:` becomes `sqlite:`; the parser refuses to change a special scheme, so it is done in the text.
    url.set_query(Some("mode=rw"));
    let url = url.as_str().replacen("file:", "sqlite:", 1);
    let options: AnyConnectOptions = url.parse().map_err(failed)?;
    let writers = sqlite_pool(1).connect_with(options.clone()).await.map_err(failed)?;
    check_sqlite_version(&writers).await?;
    let readers = sqlite_pool(READERS).connect_with(options).await.map_err(failed)?;
    Ok(Store { dialect: Dialect::Sqlite, readers, writers })
}

fn sqlite_pool(connections: u32) -> AnyPoolOptions {
    AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(PATIENCE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_release(|connection, _| {
            // SQLite ends a transaction itself when the disk is full or fails; the driver goes on counting it, and its
            // connection could never begin another. The ping waits for the roll-back that a dropped one has left.
            Box::pin(async move { connection.ping().await.map(|()| !connection.is_in_transaction()) })
        })
        .after_connect(|connection, _| {
            Box::pin(async move {
                connection
                    .execute(
                        "PRAGMA busy_timeout = 8000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                         PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF",
                    )
                    .await
                    .map(drop)
            })
        })
}

async fn check_sqlite_version(pool: &AnyPool) -> Result<(), StoreError> {
    let failed = |source| StoreError::Statement { operation: "ask SQLite for its version", source };
    let row = sqlx::query("SELECT sqlite_version() AS version").fetch_one(pool).await.map_err(failed)?;
    let version: String = row.try_get("version").map_err(failed)?;
    if sqlite_is_new_enough(&version) { Ok(()) } else { Err(StoreError::OldSqlite { version }) }
}

fn sqlite_is_new_enough(version: &str) -> bool {
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let mut next = || numbers.next().unwrap_or(0);
    (next(), next(), next()) >= OLDEST_SQLITE
}

async fn open_postgres(url: &Secret) -> Result<Store, StoreError> {
    let failed = |source| StoreError::Open {
        database: "PostgreSQL",
        hint: "are host, database and user right, and is its certificate trusted (`sslrootcert=/path/ca.pem`)?",
        source,
    };
    let url = postgres_url(url.expose())?;
    let options: AnyConnectOptions = url.as_str().parse().map_err(failed)?;
    reach(&options).await.map_err(failed)?;
    let pool = |connections| {
        AnyPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(PATIENCE)
            .test_before_acquire(true)
            .after_connect(|connection, _| {
                // A replica that froze in the middle of a transaction must not stop the others for ever.
                let settings = "SET lock_timeout = '8s'; SET idle_in_transaction_session_timeout = '30s'";
                Box::pin(async move { connection.execute(settings).await.map(drop) })
            })
    };
    let writers = pool(4).connect_with(options.clone()).await.map_err(failed)?;
    let readers = pool(READERS * 2).connect_with(options).await.map_err(failed)?;
    Ok(Store { dialect: Dialect::Postgres, readers, writers })
}

/// Connects once: a pool keeps the reason to itself and says no more than that it waited. A database that starts at the
/// same time as we do is waited for.
async fn reach(options: &AnyConnectOptions) -> Result<(), sqlx::Error> {
    let deadline = BootInstant::now().after(PATIENCE);
    loop {
        let connected = tokio::time::timeout(deadline.remaining(), AnyConnection::connect_with(options)).await;
        match connected {
            Ok(Ok(connection)) => return connection.close().await,
            Ok(Err(sqlx::Error::Io(_))) if deadline.remaining() > REACH_PAUSE => {
                tokio::time::sleep(REACH_PAUSE).await;
            }
            Ok(Err(error)) => return Err(error),
            Err(_) => return Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into())),
        }
    }
}

/// The driver's own default, `prefer`, takes any certificate and even none.
pub(super) fn postgres_url(text: &str) -> Result<Url, StoreError> {
    let mut url: Url = text.parse().map_err(|_| StoreError::Url { problem: "is not a URL" })?;
    if !matches!(url.scheme(), "postgres" | "postgresql") {
        return Err(StoreError::Url { problem: "does not begin with `postgres://`" });
    }
    let values = |names: [&str; 2]| -> Vec<String> {
        url.query_pairs()
            .filter(|(key, _)| names.contains(&key.as_ref()))
            .map(|(_, value)| value.into_owned())
            .collect()
    };
    // Every host that is named counts, whichever the driver would take.
    let mut hosts = values(["host", "hostaddr"]);
    hosts.extend(url.host_str().filter(|host| !host.is_empty()).map(str::to_owned));
    if hosts.is_empty() {
        return Err(StoreError::Url { problem: "names no host" });
    }
    let on_this_host = |host: &String| {
        matches!(host.as_str(), "localhost" | "127.0.0.1" | "::1" | "[::1]") || host.starts_with(['/', '%'])
    };
    if hosts.iter().all(on_this_host) {
        return Ok(url);
    }
    let modes = values(["sslmode", "ssl-mode"]);
    if modes.is_empty() {
        url.query_pairs_mut().append_pair("sslmode", "verify-full");
    } else if modes.iter().any(|mode| mode != "verify-full") {
        return Err(StoreError::Url { problem: "asks for less than `sslmode=verify-full` of another host" });
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::{postgres_url, sqlite_is_new_enough};

    #[test]
    fn a_sqlite_that_can_lose_data_is_known() {
        for version in ["3.51.2", "3.50.9", "2.99.99", "", "x"] {
            assert!(!sqlite_is_new_enough(version), "{version}");
        }
        for version in ["3.51.3", "3.52.0", "4.0"] {
            assert!(sqlite_is_new_enough(version), "{version}");
        }
    }

    #[test]
    fn postgresql_elsewhere_is_verified() {
        let url = postgres_url("postgres://u:p@db.example.com/nigari").unwrap();
        assert_eq!(url.query(), Some("sslmode=verify-full"));
        for weaker in ["disable", "prefer", "require", "verify-ca"] {
            let text = format!("postgres://u@db.example.com/nigari?sslmode={weaker}");
            assert!(postgres_url(&text).is_err(), "{weaker}");
        }
        assert!(postgres_url("postgres://localhost/n?host=db.example.com&sslmode=disable").is_err());
    }

    #[test]
    fn postgresql_on_this_host_is_left_alone() {
        for text in ["postgres://u@localhost/n", "postgres:///n?host=/run/postgresql", "postgres://u@127.0.0.1/n"] {
            assert_eq!(postgres_url(text).unwrap().query().filter(|query| query.contains("sslmode")), None, "{text}");
        }
    }

    #[test]
    fn what_is_no_postgresql_url_is_refused() {
        for text in ["", "nigari.db", "mysql://u@h/n", "http://h", "postgres:///n"] {
            assert!(postgres_url(text).is_err(), "{text}");
        }
    }
}
