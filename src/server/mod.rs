//! The control plane: wires its parts.
//!
//! `api` → `policy` → `queue` → `store` · `vault` · `audit` · `wake` · `tasks`.

// One server per SQLite database.
mod alone;
// HTTP.
pub mod api;
// Who did what to which resource.
pub mod audit;
// The very first start: default pool, first tokens.
mod first_start;
// Connections: accept, serve, end.
mod listen;
// The log of what happens to runs.
pub mod operations;
// Who may do what.
pub mod policy;
// Who was heard of, when.
pub mod presence;
// Which state of a run may follow which: pure.
pub mod queue;
// Everything in SQL.
pub mod store;
// What the server does by itself.
pub mod tasks;
// Encryption at rest.
pub mod vault;
// Who is at the other end of a connection.
mod visitor;
// Long polls.
pub mod wake;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::{BootInstant, Clock};
use crate::settings::server::ServerSettings;
use crate::tls::ListenerError;
use api::{Parts, ServerState};
use presence::Presence;
use store::{Database, Store, StoreError};
use vault::{KeyError, RootKey, Sealed, Vault, VaultError};
use wake::Wake;

/// Where the check value of the root key is kept.
const CHECK_VALUE: &str = "vault_check";
/// What is written to see whether the database takes writes.
const WRITE_CHECK: &str = "write_check";
/// How long such a write answers for.
const WRITE_COUNTS_FOR: Duration = Duration::from_secs(2);

/// Why the server does not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The state directory cannot be used.
    #[error("cannot use the state directory {path}; hint: the server's user must be able to write there")]
    StateDirectory {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Another server uses the same SQLite database.
    #[error("another server runs with the state directory {0}; hint: stop it, or give this one another directory")]
    NotAlone(PathBuf),
    /// Something of an earlier installation is there, but its database is not.
    #[error(
        "{found} is there, but the database {database} is gone; hint: bring the database back (a backup, a mount), or \
         move {found} away to begin anew with nothing"
    )]
    DatabaseGone {
        /// What is left of it.
        found: PathBuf,
        /// What is not there.
        database: PathBuf,
    },
    /// The root key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The root key is not the one that the database was made with.
    #[error(
        "wrong key: the root key is not the one that this database was made with; hint: start with the key from before, \
         or with the database that belongs to this one"
    )]
    WrongKey(#[source] VaultError),
    /// Plain on an address that others can reach.
    #[error(
        "{0} is not loopback, so plain HTTP is refused; hint: set `tls_certificate` and `tls_key`, or `behind_proxy = \
         true` when something in front ends TLS"
    )]
    Plain(SocketAddr),
    /// A first token cannot be written.
    #[error("cannot write the first token to {path}")]
    FirstToken {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Certificate or key cannot be used.
    #[error(transparent)]
    Tls(#[from] ListenerError),
    /// One of certificate and key without the other.
    #[error("`tls_certificate` and `tls_key` belong together, but one is missing; hint: set both or none")]
    HalfTls,
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; hint: is another server running there?")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// What the system says.
        #[source]
        source: io::Error,
    },
}

/// A server that listens but does not answer yet.
#[derive(Debug)]
pub struct Server {
    state: ServerState,
    listener: listen::Listener,
    alone: Option<alone::Alone>,
}

impl Server {
    /// Opens key and database, makes what the very first start makes, and listens.
    ///
    /// # Errors
    /// [`ServerError`] with a hint.
    pub async fn bind(settings: ServerSettings) -> Result<Self, ServerError> {
        Self::bind_with_clock(settings, Clock::new()).await
    }

    /// [`Server::bind`] with a clock that the caller can shift.
    ///
    /// # Errors
    /// [`ServerError`] with a hint.
    pub async fn bind_with_clock(settings: ServerSettings, clock: Clock) -> Result<Self, ServerError> {
        // Before anything is made: a server that may not listen should leave nothing behind.
        let listener = listen::Listener::bind(&settings).await?;
        first_start::make_state_directory(&settings.state_directory)?;
        // Replicas on PostgreSQL may share a directory with the same key.
        let sqlite = settings.database_url.is_none();
        let alone = sqlite.then(|| alone::lock(&settings.state_directory)).transpose()?;
        let (store, vault) = open(&settings).await?;
        first_start::make_first_things(&store, &vault, &clock, &settings.state_directory).await?;
        let shutdown = CancellationToken::new();
        let (presence, wake) = (Presence::default(), Wake::new());
        let state = ServerState::new(Parts {
            store,
            vault,
            clock,
            settings,
            presence,
            wake,
            shutdown,
            wrote: Mutex::default(),
        });
        Ok(Self { state, listener, alone })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Its parts.
    pub fn state(&self) -> ServerState {
        self.state.clone()
    }

    /// Answers requests until `shutdown`, then ends long polls, lets the rest finish, and closes the database.
    ///
    /// # Errors
    /// None that end it early are known: failing connections are logged.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), ServerError> {
        let Self { state, listener, alone } = self;
        let ended = state.shutdown.clone();
        let tasks = tokio::spawn(write_down_presence(state.clone()));
        let looked = tasks::begin(&state).await;
        let own_tasks = tokio::spawn(tasks::run(state.clone(), looked));
        let router = api::router(state.clone());
        tokio::select! {
            () = shutdown.cancelled() => ended.cancel(),
            () = ended.cancelled() => {}
            () = listener.serve(router.clone(), &ended) => {}
        }
        listener.drain().await;
        // It ends by itself on `ended`; a panic in it has been printed.
        drop(tasks.await);
        drop(own_tasks.await);
        if let Err(error) = state.presence.write_down(&state.store).await {
            tracing::warn!(%error, "who was heard of lately is not written down");
        }
        state.store.close().await;
        drop(alone);
        Ok(())
    }
}

/// Opens key and database, the key first: with a wrong one nothing is touched.
async fn open(settings: &ServerSettings) -> Result<(Store, Vault), ServerError> {
    if let Some(url) = &settings.database_url {
        // Whether a PostgreSQL database is fresh is known only from within.
        let store = Store::open(&Database::Postgres(url.duplicate())).await?;
        let fresh = store::facts::get(&mut *store.read().await?, CHECK_VALUE).await?.is_none();
        let vault = Vault::new(&RootKey::load(&settings.root_key, &settings.state_directory, fresh)?)?;
        check_key(&store, &vault).await?;
        return Ok((store, vault));
    }
    let path = settings.state_directory.join("nigari.db");
    let path = std::path::absolute(&path).map_err(|source| ServerError::StateDirectory { path, source })?;
    let fresh = !path.exists();
    if fresh {
        first_start::must_be_the_first(&settings.state_directory, &path)?;
    }
    let vault = Vault::new(&RootKey::load(&settings.root_key, &settings.state_directory, fresh)?)?;
    let store = Store::open(&Database::Sqlite(path)).await?;
    check_key(&store, &vault).await?;
    Ok((store, vault))
}

async fn check_key(store: &Store, vault: &Vault) -> Result<(), ServerError> {
    let mut transaction = store.begin_write().await?;
    if let Some(value) = store::facts::get(&mut transaction, CHECK_VALUE).await? {
        return vault.recognises(&Sealed::from_bytes(value)).map_err(ServerError::WrongKey);
    }
    store::facts::insert(&mut transaction, CHECK_VALUE, vault.check_value()?.as_bytes()).await?;
    Ok(transaction.commit().await?)
}

/// Whether key and database still belong together and the database takes writes: for `/readyz`.
pub(crate) async fn is_ready(state: &ServerState) -> Result<(), ServerError> {
    let value = store::facts::get(&mut *state.store.read().await?, CHECK_VALUE).await?;
    let value = value.ok_or(VaultError::Form)?;
    state.vault.recognises(&Sealed::from_bytes(value)).map_err(ServerError::WrongKey)?;
    let wrote = || state.wrote.lock().unwrap_or_else(PoisonError::into_inner);
    // Anybody may ask, so that not every question costs a commit.
    if wrote().is_some_and(|at| at.elapsed() < WRITE_COUNTS_FOR) {
        return Ok(());
    }
    let mut transaction = state.store.begin_write().await?;
    store::facts::put(&mut transaction, WRITE_CHECK, &state.clock.now().to_be_bytes()).await?;
    transaction.commit().await?;
    *wrote() = Some(BootInstant::now());
    Ok(())
}

async fn write_down_presence(state: ServerState) {
    let mut every = tokio::time::interval(presence::WRITTEN_EVERY);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = state.shutdown.cancelled() => return,
            _ = every.tick() => {
                if let Err(error) = state.presence.write_down(&state.store).await {
                    tracing::warn!(%error, "cannot write down who was heard of; tried again soon");
                }
            }
        }
    }
}
