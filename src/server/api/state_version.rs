//! A state's versions and lock, the same for runs and people.
//!
//! Rule: a version goes on from the newest: same lineage, higher serial. The same bytes again are no new version.

use axum::body::Body;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::blob::{BlobReader, BlobWriter, Owner, Pieces, Sealing};
use super::{ApiError, Code, Json, ServerState};
use crate::protocol::api::StateVersion;
use crate::protocol::id::{RunId, StateVersionId, WorkspaceId};
use crate::protocol::limits::STATE_BYTES;
use crate::protocol::{DIGEST_HEADER, Timestamp};
use crate::server::audit::{self, Actor, Particulars};
use crate::server::policy::Permit;
use crate::server::queue::Topic;
use crate::server::store::WriteTransaction;
use crate::server::store::state::lock::{self, HeldLock};
use crate::server::store::state::{self, StateRecord};

/// Bytes of a lock's id.
const LOCK_ID_BYTES: usize = 256;

/// Bytes of each other member of a lock.
const LOCK_WORD_BYTES: usize = 4096;

/// What every state says of itself (format 4 of OpenTofu 1.6 and later).
#[derive(Debug, Deserialize)]
struct Heading {
    serial: i64,
    lineage: String,
}

/// What a state knows.
#[derive(Debug, Deserialize)]
struct Named {
    resources: Vec<serde::de::IgnoredAny>,
}

/// Who writes.
#[derive(Debug)]
pub(super) struct Author {
    /// For the audit record.
    pub actor: Actor,
    /// A run.
    pub run: Option<RunId>,
    /// A person.
    pub created_by: Option<String>,
    /// Whether serial and lineage do not matter.
    pub force: bool,
}

/// A state that was received and sealed, not yet stored.
pub(super) struct Incoming {
    workspace: WorkspaceId,
    heading: Heading,
    sealing: Sealing,
}

impl Incoming {
    /// Receives a state.
    pub(super) async fn read(
        state: &ServerState,
        permit: &Permit,
        workspace: WorkspaceId,
        request: Request<Body>,
    ) -> Result<Self, ApiError> {
        let mut writer = BlobWriter::new(state, permit, Owner::State(workspace))?;
        let mut pieces = Pieces::of(request.into_body(), STATE_BYTES as u64);
        let mut plain = Zeroizing::new(Vec::new());
        while let Some(piece) = pieces.next().await? {
            plain.extend_from_slice(&piece);
            writer.write(&piece).await?;
        }
        let heading: Heading = serde_json::from_slice(&plain).map_err(|_| {
            ApiError::new(
                Code::Invalid,
                "the body is not a state: no JSON with `serial` and `lineage`; hint: send what \
                 `tofu state pull` prints",
            )
        })?;
        if heading.serial < 0 || heading.lineage.is_empty() || heading.lineage.len() > 256 {
            return Err(ApiError::new(Code::Invalid, "the state's `serial` is negative or its `lineage` is no word"));
        }
        Ok(Self { workspace, heading, sealing: writer.end()? })
    }

    /// Stores it as the newest version, if it goes on from the newest there is.
    pub(super) async fn store(
        self,
        server: &ServerState,
        transaction: &mut WriteTransaction,
        author: &Author,
    ) -> Result<Vec<Topic>, ApiError> {
        let workspace = self.workspace;
        let newest = state::newest(&mut *transaction, workspace).await?;
        if let Some(StateRecord { version, .. }) = &newest {
            if version.digest == self.sealing.written.digest {
                return Ok(Vec::new());
            }
            if !author.force {
                goes_on(&self.heading, version)?;
            }
        }
        let now = server.clock.now();
        let written = self.sealing.store(transaction).await?;
        let version = StateVersion {
            id: StateVersionId::generate(),
            serial: self.heading.serial,
            lineage: self.heading.lineage,
            bytes: written.bytes,
            digest: written.digest,
            created_at: now,
            run: author.run,
            created_by: author.created_by.clone(),
        };
        let record = StateRecord { version, blob: written.id };
        state::add(transaction, workspace, &record).await?;
        write_down(transaction, workspace, author, &record.version, now).await?;
        Ok(author.run.map(Topic::Run).into_iter().collect())
    }
}

async fn write_down(
    transaction: &mut WriteTransaction,
    workspace: WorkspaceId,
    author: &Author,
    version: &StateVersion,
    now: Timestamp,
) -> Result<(), ApiError> {
    let particulars =
        Particulars::StateWrite { run: author.run, serial: version.serial, digest: version.digest.clone() };
    Ok(audit::record(transaction, now, &author.actor, &workspace, &particulars).await?)
}

fn goes_on(heading: &Heading, newest: &StateVersion) -> Result<(), ApiError> {
    if heading.lineage != newest.lineage {
        let text = "the state has another lineage than the one that is stored: it describes other resources; hint: is it \
                    of this workspace? a person can push it with `--force`";
        return Err(ApiError::new(Code::Conflict, text));
    }
    if heading.serial <= newest.serial {
        let text = format!(
            "the state's serial is {}, but {} is stored already; hint: pull the newer one first, or push with `--force`",
            heading.serial, newest.serial
        );
        return Err(ApiError::new(Code::Conflict, text));
    }
    Ok(())
}

/// The newest version's bytes, or 204.
pub(super) async fn send_newest(
    server: &ServerState,
    permit: &Permit,
    workspace: WorkspaceId,
) -> Result<Response, ApiError> {
    let newest = state::newest(&mut *server.store.read().await?, workspace).await?;
    let Some(newest) = newest else { return Ok(StatusCode::NO_CONTENT.into_response()) };
    let reader = BlobReader::open(server, permit, Owner::State(workspace), newest.blob).await?;
    let headers = [(CONTENT_TYPE.as_str(), "application/json".to_owned()), (DIGEST_HEADER, newest.version.digest)];
    Ok((headers, reader.into_body()).into_response())
}

/// Whether the newest version names no resource. One that cannot be understood may.
pub(super) async fn is_empty(server: &ServerState, permit: &Permit, workspace: WorkspaceId) -> Result<bool, ApiError> {
    let Some(newest) = state::newest(&mut *server.store.read().await?, workspace).await? else { return Ok(false) };
    let reader = BlobReader::open(server, permit, Owner::State(workspace), newest.blob).await?;
    let bytes = axum::body::to_bytes(reader.into_body(), STATE_BYTES).await;
    let bytes = bytes.map_err(|_| ApiError::Fault("a state cannot be read"))?;
    Ok(serde_json::from_slice::<Named>(&bytes).is_ok_and(|named| named.resources.is_empty()))
}

/// 423 for who writes.
pub(super) fn locked(held: &HeldLock) -> ApiError {
    let who = if held.lock.who.is_empty() { "somebody" } else { &held.lock.who };
    let text = format!(
        "the state is locked by {who} (lock {}); hint: wait, or `nigari state unlock` when you know that nobody is at work",
        held.lock.id
    );
    ApiError::new(Code::Locked, text)
}

/// Takes the lock and commits: 204, or 423 with the holder's lock, which is what tofu shows.
pub(super) async fn lock(
    server: &ServerState,
    mut transaction: WriteTransaction,
    workspace: WorkspaceId,
    wanted: HeldLock,
) -> Result<Response, ApiError> {
    if wanted.lock.id.is_empty() || wanted.lock.id.len() > LOCK_ID_BYTES {
        return Err(ApiError::invalid("ID", "empty or longer than 256 bytes"));
    }
    let words = [&wanted.lock.operation, &wanted.lock.info, &wanted.lock.who, &wanted.lock.version, &wanted.lock.path];
    if words.iter().any(|word| word.len() > LOCK_WORD_BYTES || word.contains('\0')) {
        return Err(ApiError::new(Code::Invalid, "a member of the lock has more than 4096 bytes or contains NUL"));
    }
    match lock::take(&mut transaction, workspace, &wanted).await? {
        Ok(()) => {
            server.wake.commit(&server.store, transaction, &[]).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Err(held) => Ok((StatusCode::LOCKED, Json(held.lock)).into_response()),
    }
}

/// Gives the lock back and commits: 204 also when there is none, 423 with the holder's lock when it is another.
pub(super) async fn unlock(
    server: &ServerState,
    mut transaction: WriteTransaction,
    workspace: WorkspaceId,
    own: &HeldLock,
) -> Result<Response, ApiError> {
    match lock::holder(&mut transaction, workspace).await? {
        None => Ok(StatusCode::NO_CONTENT.into_response()),
        Some(held) if held.lock.id == own.lock.id && (own.run.is_none() || held.run == own.run) => {
            lock::release(&mut transaction, workspace).await?;
            server.wake.commit(&server.store, transaction, &[]).await?;
            Ok(StatusCode::NO_CONTENT.into_response())
        }
        Some(held) => Ok((StatusCode::LOCKED, Json(held.lock)).into_response()),
    }
}
