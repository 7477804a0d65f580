//! The run's own door on loopback: tofu's `http` state backend, forwarded to the server; and, for the fetch step alone,
//! the [`broker`].
//!
//! Rule: the door belongs to one run and dies with it. Its password is worth nothing anywhere else, because any
//! configuration can send `TF_HTTP_PASSWORD` away (`terraform_remote_state`); the agent's session never comes near
//! tofu. A plan may read and lock; only a reported apply may write.

// The registries' side: a proxy for one fetch step.
pub mod broker;
mod door;
mod nonce;
mod patience;
mod store;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use nonce::Nonce;
pub use patience::Patience;
pub use store::{StateStore, StoreError};

use crate::secret::Secret;

const CLOSED: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// Why there is no door.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// No port on loopback.
    #[error("no port on loopback for the run's state")]
    Listen(#[source] std::io::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes for the run's state password")]
    Random,
}

/// Says something to the people who read the run's log; tofu itself only shows a status number.
pub type Notes = Arc<dyn Fn(&str) + Send + Sync>;

/// An open door. Dropping it closes it.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    nonce: Nonce,
    access: Arc<AtomicU8>,
    stop: CancellationToken,
}

impl Gateway {
    /// Opens the door on a random port of loopback, for reading and locking.
    pub async fn open<S: StateStore>(store: S, patience: Patience, notes: Notes) -> Result<Self, GatewayError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(GatewayError::Listen)?;
        let address = listener.local_addr().map_err(GatewayError::Listen)?;
        let nonce = Nonce::new().ok_or(GatewayError::Random)?;
        let access = Arc::new(AtomicU8::new(READ));
        let stop = CancellationToken::new();
        let door = door::Door {
            store,
            nonce: nonce.duplicate(),
            access: Arc::clone(&access),
            patience,
            notes,
            stop: stop.clone(),
        };
        let stopped = stop.clone().cancelled_owned();
        tokio::spawn(async move { axum::serve(listener, door::routes(door)).with_graceful_shutdown(stopped).await });
        Ok(Self { address, nonce, access, stop })
    }

    /// From now on tofu may write: the apply's report was acknowledged.
    pub fn allow_writes(&self) {
        self.access.store(WRITE, Ordering::SeqCst);
    }

    /// What lets tofu in, with the user `run`: not for anybody else's eyes.
    pub fn login(&self) -> (&'static str, Secret) {
        (nonce::USER, self.nonce.password())
    }

    /// The variables that lead tofu's `http` backend here.
    pub fn environment(&self) -> Vec<(String, Secret)> {
        let url = |path: &str| Secret::new(format!("http://{}/{path}", self.address));
        vec![
            ("TF_HTTP_ADDRESS".into(), url("state")),
            ("TF_HTTP_LOCK_ADDRESS".into(), url("lock")),
            ("TF_HTTP_UNLOCK_ADDRESS".into(), url("unlock")),
            ("TF_HTTP_LOCK_METHOD".into(), "POST".into()),
            ("TF_HTTP_UNLOCK_METHOD".into(), "POST".into()),
            ("TF_HTTP_USERNAME".into(), nonce::USER.into()),
            ("TF_HTTP_PASSWORD".into(), self.nonce.password()),
        ]
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // Connections that are still open find a closed door at their next request.
        self.access.store(CLOSED, Ordering::SeqCst);
        self.stop.cancel();
    }
}

#[cfg(test)]
mod tests;
