//! The door's routes, as tofu's `http` backend speaks (OpenTofu 1.12.6, `internal/backend/remote-state/http/client.go`).
//!
//! Rule: never 404 and never an empty 200: tofu takes both for *there is no state* and would create everything again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use super::nonce::Nonce;
use super::patience::persist;
use super::{CLOSED, Notes, Patience, StateStore, StoreError, WRITE};
use crate::protocol::api::StateLock;
use crate::protocol::limits::STATE_BYTES;

/// tofu's lock is a few hundred bytes.
const LOCK_BYTES: usize = 64 * 1024;

pub(super) struct Door<S> {
    pub(super) store: S,
    pub(super) nonce: Nonce,
    pub(super) access: Arc<AtomicU8>,
    pub(super) patience: Patience,
    pub(super) notes: Notes,
    pub(super) stop: CancellationToken,
}

/// What tofu adds to the state's address when it holds a lock.
#[derive(Deserialize)]
struct Written {
    #[serde(rename = "ID")]
    lock: Option<String>,
}

pub(super) fn routes<S: StateStore>(door: Door<S>) -> Router {
    use axum::routing::{any, post};
    Router::new()
        .route("/state", any(state))
        .route("/lock", post(lock))
        .route("/unlock", post(unlock))
        .fallback(|| async { StatusCode::BAD_REQUEST })
        .with_state(Arc::new(door))
}

async fn state<S: StateStore>(
    State(door): State<Arc<Door<S>>>,
    Query(written): Query<Written>,
    request: Request,
) -> Response {
    if let Err(refused) = door.admit(request.headers(), request.method() == Method::POST) {
        return refused;
    }
    match *request.method() {
        Method::GET => door.read().await,
        Method::POST => door.write(written.lock, request).await,
        _ => StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
}

async fn lock<S: StateStore>(State(door): State<Arc<Door<S>>>, request: Request) -> Response {
    door.with_lock(request, true).await
}

async fn unlock<S: StateStore>(State(door): State<Arc<Door<S>>>, request: Request) -> Response {
    door.with_lock(request, false).await
}

impl<S: StateStore> Door<S> {
    /// Lets a request in, or says why not.
    #[expect(clippy::result_large_err, reason = "the error is the answer itself, and rare")]
    fn admit(&self, headers: &HeaderMap, writes: bool) -> Result<(), Response> {
        if !self.nonce.is_in(headers.get(header::AUTHORIZATION)) {
            return Err(StatusCode::UNAUTHORIZED.into_response());
        }
        let access = self.access.load(Ordering::SeqCst);
        if access == CLOSED {
            return Err(StatusCode::FORBIDDEN.into_response());
        }
        if writes && access != WRITE {
            (self.notes)("the state was not written: only an apply may write it");
            return Err(StatusCode::FORBIDDEN.into_response());
        }
        Ok(())
    }

    async fn read(&self) -> Response {
        let answer =
            persist(self.patience.request, |error| self.tell("reading the state", error), || self.store.read());
        match self.while_open(answer).await {
            Ok(Some(state)) if !state.is_empty() => {
                let sum = [(header::CONTENT_TYPE.as_str(), "application/json"), ("content-md5", &md5(&state))]
                    .map(|(name, value)| (name.to_owned(), value.to_owned()));
                (StatusCode::OK, axum::response::AppendHeaders(sum), state).into_response()
            }
            Ok(_) => StatusCode::NO_CONTENT.into_response(),
            Err(error) => self.refuse("read the state", &error),
        }
    }

    async fn write(&self, lock: Option<String>, request: Request) -> Response {
        let state = match body(request, STATE_BYTES).await {
            Ok(state) => state,
            Err(status) => return status.into_response(),
        };
        let told = |error: &StoreError| self.tell("writing the state", error);
        let answer = persist(self.patience.write, told, || self.store.write(lock.as_deref(), state.clone()));
        // Not ended by a closing door: what was begun is what resources were made for.
        match answer.await {
            Ok(()) => StatusCode::OK.into_response(),
            Err(error) => self.refuse("write the state", &error),
        }
    }

    async fn with_lock(&self, request: Request, take: bool) -> Response {
        if let Err(refused) = self.admit(request.headers(), false) {
            return refused;
        }
        let bytes = match body(request, LOCK_BYTES).await {
            Ok(bytes) => bytes,
            Err(status) => return status.into_response(),
        };
        let Ok(lock) = serde_json::from_slice::<StateLock>(&bytes) else {
            return StatusCode::BAD_REQUEST.into_response();
        };
        let verb = if take { "locking the state" } else { "unlocking the state" };
        let call = || {
            let bytes = bytes.clone();
            async { if take { self.store.lock(bytes).await } else { self.store.unlock(bytes).await } }
        };
        let answer = persist(self.patience.request, |error| self.tell(verb, error), call);
        match self.while_open(answer).await {
            Ok(()) => StatusCode::OK.into_response(),
            // A repeat of a lock whose answer was lost finds itself.
            Err(StoreError::Locked(holder)) if take && is_held_by(&holder, &lock) => StatusCode::OK.into_response(),
            Err(StoreError::Locked(holder)) => (StatusCode::LOCKED, holder).into_response(),
            Err(error) => self.refuse(verb, &error),
        }
    }

    async fn while_open<T>(&self, answer: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        tokio::select! {
            answer = answer => answer,
            () = self.stop.cancelled() => Err(StoreError::Refused("the run is over".to_owned())),
        }
    }

    fn tell(&self, what: &str, error: &StoreError) {
        (self.notes)(&format!("{what}: {error}; trying again"));
    }

    fn refuse(&self, what: &str, error: &StoreError) -> Response {
        (self.notes)(&format!("could not {what}: {error}"));
        match error {
            StoreError::Locked(_) => StatusCode::CONFLICT,
            StoreError::Away(_) => StatusCode::BAD_GATEWAY,
            StoreError::Refused(_) => StatusCode::FORBIDDEN,
        }
        .into_response()
    }
}

fn is_held_by(holder: &[u8], lock: &StateLock) -> bool {
    serde_json::from_slice::<StateLock>(holder).is_ok_and(|holder| holder.id == lock.id)
}

/// The body, within its limit and as its sum says.
async fn body(request: Request<Body>, limit: usize) -> Result<Bytes, StatusCode> {
    let sum = request.headers().get("content-md5").cloned();
    let bytes = to_bytes(request.into_body(), limit).await.map_err(|_| StatusCode::PAYLOAD_TOO_LARGE)?;
    match sum {
        Some(sum) if sum.as_bytes() != md5(&bytes).as_bytes() => Err(StatusCode::BAD_REQUEST),
        _ => Ok(bytes),
    }
}

fn md5(bytes: &[u8]) -> String {
    STANDARD.encode(Md5::digest(bytes))
}
