//! A phase's log, by offset.
//!
//! Rule: bytes are stored once, in order. A repeat of what is stored is answered like the first time; a gap or other
//! bytes are refused with the offset that is wanted. The log of a lost claim is still taken: nobody else has the run.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::held::{held, lease_without_time};
use crate::protocol::OFFSET_HEADER;
use crate::protocol::id::{BlobId, RunId};
use crate::protocol::limits::{LOG_BYTES, LOG_PATCH_BYTES};
use crate::protocol::run::Phase;
use crate::server::api::blob::Owner;
use crate::server::api::headers::{self, Epoch};
use crate::server::api::{ApiError, Code, Path, ServerState, SessionActor, read_body};
use crate::server::policy::{Permit, Protected};
use crate::server::queue::Topic;
use crate::server::store::WriteTransaction;
use crate::server::store::blobs::{self, BlobHead, CHUNK_BYTES, SealedChunk};
use crate::server::store::runs::logs;
use crate::server::vault::{DataKey, Sealed};

/// Whose log.
#[derive(Debug, Clone, Copy)]
struct Place {
    run: RunId,
    phase: Phase,
    epoch: i64,
}

impl Place {
    fn owner(self) -> Owner {
        Owner::Log(self.run, self.phase, self.epoch)
    }
}

/// `PATCH agent/runs/{run}/log/{phase}`.
pub(super) async fn append(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path((run, phase)): Path<(RunId, Phase)>,
    Epoch(epoch): Epoch,
    request: Request<Body>,
) -> Result<Response, ApiError> {
    let offset = headers::offset(request.headers())?;
    let body = read_body(request, LOG_PATCH_BYTES).await?;
    let mut transaction = state.store.begin_write().await?;
    let record = held(&mut transaction, &actor, run, epoch).await?;
    if phase == Phase::Apply && record.standing.phase() == Some(Phase::Plan) {
        return Err(ApiError::new(Code::Conflict, "the run is not in its phase `apply`"));
    }
    let permit = lease_without_time(&record, epoch).seal(Protected::Log)?;
    let (head, key) = open(&state, &permit, &mut transaction, Place { run, phase, epoch }).await?;
    let stored = u64::try_from(head.bytes).unwrap_or(0);
    let known = usize::try_from(stored.saturating_sub(offset)).unwrap_or(usize::MAX).min(body.len());
    if offset > stored || !same(&mut transaction, &head, &key, offset, &body[..known]).await? {
        return Ok(wanted(stored));
    }
    let fresh = &body[known..];
    let next = stored + fresh.len() as u64;
    if next > LOG_BYTES {
        let text = format!("the log has more than {LOG_BYTES} bytes; hint: leave out the middle and say so");
        return Err(ApiError::new(Code::TooLarge, text));
    }
    if !fresh.is_empty() {
        blobs::append(&mut transaction, head.id, seal(&head, &key, fresh)?).await?;
        state.wake.commit(&state.store, transaction, &[Topic::Run(run)]).await?;
    }
    Ok((StatusCode::NO_CONTENT, [(OFFSET_HEADER, next.to_string())]).into_response())
}

fn wanted(stored: u64) -> Response {
    let text = format!("the log continues at byte {stored}; hint: send from there");
    let mut response = ApiError::new(Code::LogOffset, text).into_response();
    response.headers_mut().insert(OFFSET_HEADER, stored.into());
    response
}

/// The log's blob and key; made when there is none.
async fn open(
    state: &ServerState,
    permit: &Permit,
    transaction: &mut WriteTransaction,
    place: Place,
) -> Result<(BlobHead, DataKey), ApiError> {
    if let Some(blob) = logs::of_claim(&mut *transaction, place.run, place.phase, place.epoch).await? {
        let head = blobs::head(&mut *transaction, blob).await?.ok_or(ApiError::Fault("a log's blob is missing"))?;
        let sealed = Sealed::from_bytes(head.key.clone());
        let key = state.vault.open_data_key(permit, &place.owner().context(blob), &sealed)?;
        return Ok((head, key));
    }
    let id = BlobId::generate();
    let (key, sealed) = state.vault.new_data_key(permit, &place.owner().context(id))?;
    blobs::begin(transaction, id, sealed.as_bytes(), state.clock.now()).await?;
    logs::begin(transaction, place.run, place.phase, place.epoch, id).await?;
    Ok((BlobHead { id, key: sealed.into_bytes(), bytes: 0, next: 0 }, key))
}

/// Whether what is stored from `offset` on begins with `bytes`.
async fn same(
    transaction: &mut WriteTransaction,
    head: &BlobHead,
    key: &DataKey,
    offset: u64,
    bytes: &[u8],
) -> Result<bool, ApiError> {
    let mut at = i64::try_from(offset).unwrap_or(i64::MAX);
    let mut rest = bytes;
    while !rest.is_empty() {
        let chunks = blobs::chunks(&mut *transaction, head.id, at, at + 1).await?;
        let Some(chunk) = chunks.first() else { return Ok(false) };
        let plain = key.open_chunk(u64::try_from(chunk.number).unwrap_or(0), &chunk.sealed)?;
        let stored = plain.get(usize::try_from(at - chunk.start).unwrap_or(0)..).unwrap_or_default();
        let length = stored.len().min(rest.len());
        if length == 0 || stored[..length] != rest[..length] {
            return Ok(false);
        }
        rest = &rest[length..];
        at += i64::try_from(length).unwrap_or(0);
    }
    Ok(true)
}

fn seal(head: &BlobHead, key: &DataKey, plain: &[u8]) -> Result<Vec<SealedChunk>, ApiError> {
    let mut start = head.bytes;
    let mut sealed = Vec::new();
    for (number, piece) in (head.next..).zip(plain.chunks(CHUNK_BYTES)) {
        let bytes = i64::try_from(piece.len()).unwrap_or(0);
        let number_bound = u64::try_from(number).unwrap_or(0);
        sealed.push(SealedChunk { number, start, bytes, sealed: key.seal_chunk(number_bound, piece)? });
        start += bytes;
    }
    Ok(sealed)
}
