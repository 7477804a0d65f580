//! Big bodies: sealed chunk by chunk as they come, opened chunk by chunk as they go.
//!
//! Rule: plain bytes are in memory only, a few chunks at a time. What fits into [`BATCH`] chunks is written in the
//! transaction that refers to it (one commit); more is written in batches, and a broken upload is swept later.

use std::time::Duration;

use aws_lc_rs::digest::{Context as Hasher, SHA256};
use axum::body::{Body, Bytes};
use futures_util::{Stream, StreamExt, stream};
use zeroize::Zeroizing;

use super::{ApiError, Code, ServerState};
use crate::protocol::id::{BlobId, RunId, WorkspaceId};
use crate::protocol::run::Phase;
use crate::server::policy::{Permit, Protected};
use crate::server::store::blobs::{self, BlobHead, CHUNK_BYTES, SealedChunk};
use crate::server::store::{StoreError, WriteTransaction};
use crate::server::vault::{Context, DataKey, Sealed};

/// Chunks that are written together.
const BATCH: usize = 16;
/// Plain bytes that are read together.
const READ_AHEAD: u64 = 4 * CHUNK_BYTES as u64;
/// How long a client may be silent in the middle of a body.
const SILENCE: Duration = Duration::from_mins(1);

/// Whose blob it is: bound into it, so that nobody who can write the database passes one off as another's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Owner {
    /// A configuration of this workspace.
    Configuration(WorkspaceId),
    /// A state of this workspace.
    State(WorkspaceId),
    /// The artifact of this run.
    Artifact(RunId),
    /// The log of this run's phase under this epoch.
    Log(RunId, Phase, i64),
}

impl Owner {
    /// What the ciphertext of its blob is bound to.
    pub(super) fn context(self, blob: BlobId) -> Context {
        let of = |protected| Context::new(protected, &blob, 1, "blob");
        match self {
            Self::Configuration(workspace) => of(Protected::Configuration).within(&workspace),
            Self::State(workspace) => of(Protected::State).within(&workspace),
            Self::Artifact(run) => of(Protected::Artifact).within(&run),
            Self::Log(run, phase, epoch) => of(Protected::Log).within(&run).within(&phase.word()).within(&epoch),
        }
    }
}

/// Seals a body into a new blob.
pub(super) struct BlobWriter {
    state: ServerState,
    id: BlobId,
    key: DataKey,
    sealed_key: Vec<u8>,
    begun: bool,
    chunks: Vec<SealedChunk>,
    buffer: Zeroizing<Vec<u8>>,
    number: i64,
    start: i64,
    hasher: Hasher,
}

/// What was written.
#[derive(Debug, Clone)]
pub(super) struct Written {
    /// The blob.
    pub id: BlobId,
    /// Plain bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256.
    pub digest: String,
}

impl BlobWriter {
    pub(super) fn new(state: &ServerState, permit: &Permit, owner: Owner) -> Result<Self, ApiError> {
        let id = BlobId::generate();
        let (key, sealed_key) = state.vault.new_data_key(permit, &owner.context(id))?;
        Ok(Self {
            state: state.clone(),
            id,
            key,
            sealed_key: sealed_key.into_bytes(),
            begun: false,
            chunks: Vec::new(),
            buffer: Zeroizing::new(Vec::with_capacity(CHUNK_BYTES)),
            number: 0,
            start: 0,
            hasher: Hasher::new(&SHA256),
        })
    }

    /// Adds bytes.
    pub(super) async fn write(&mut self, mut bytes: &[u8]) -> Result<(), ApiError> {
        self.hasher.update(bytes);
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            bytes = later;
            if self.buffer.len() == CHUNK_BYTES {
                self.seal_buffer()?;
            }
            if self.chunks.len() == BATCH {
                let mut transaction = self.state.store.begin_write().await?;
                self.flush(&mut transaction).await?;
                transaction.commit().await?;
            }
        }
        Ok(())
    }

    /// The digest of what was written; the rest has to be [`stored`](Sealing::store).
    pub(super) fn end(mut self) -> Result<Sealing, ApiError> {
        if !self.buffer.is_empty() {
            self.seal_buffer()?;
        }
        let written = Written {
            id: self.id,
            bytes: u64::try_from(self.start).unwrap_or(0),
            digest: hex::encode(self.hasher.clone().finish()),
        };
        Ok(Sealing { writer: self, written })
    }

    fn seal_buffer(&mut self) -> Result<(), ApiError> {
        let number = u64::try_from(self.number).unwrap_or(0);
        let bytes = i64::try_from(self.buffer.len()).unwrap_or(0);
        let sealed = self.key.seal_chunk(number, &self.buffer)?;
        self.chunks.push(SealedChunk { number: self.number, start: self.start, bytes, sealed });
        self.number += 1;
        self.start += bytes;
        self.buffer.clear();
        Ok(())
    }

    async fn flush(&mut self, transaction: &mut WriteTransaction) -> Result<(), StoreError> {
        if !self.begun {
            blobs::begin(transaction, self.id, &self.sealed_key, self.state.clock.now()).await?;
            self.begun = true;
        }
        blobs::append(transaction, self.id, std::mem::take(&mut self.chunks)).await
    }
}

/// A blob whose last chunks are still to be stored.
pub(super) struct Sealing {
    writer: BlobWriter,
    /// What it will be.
    pub written: Written,
}

impl Sealing {
    /// Stores the rest in the transaction that refers to the blob.
    pub(super) async fn store(mut self, transaction: &mut WriteTransaction) -> Result<Written, StoreError> {
        self.writer.flush(transaction).await?;
        Ok(self.written)
    }
}

/// A body piece by piece, at most `limit` bytes, refused when the client is silent for too long.
pub(super) struct Pieces {
    stream: axum::body::BodyDataStream,
    left: u64,
    limit: u64,
}

impl Pieces {
    pub(super) fn of(body: Body, limit: u64) -> Self {
        Self { stream: body.into_data_stream(), left: limit, limit }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        let Ok(piece) = tokio::time::timeout(SILENCE, self.stream.next()).await else {
            return Err(ApiError::new(Code::Malformed, "the body stopped coming; hint: send it again"));
        };
        let Some(piece) = piece else { return Ok(None) };
        let piece = piece.map_err(|_| ApiError::new(Code::Malformed, "the body broke off"))?;
        let limit = self.limit;
        let left = self.left.checked_sub(piece.len() as u64);
        self.left =
            left.ok_or_else(|| ApiError::new(Code::TooLarge, format!("the body has more than {limit} bytes")))?;
        Ok(Some(piece))
    }
}

/// What is needed to read a blob: its head, and its key.
pub(super) struct BlobReader {
    state: ServerState,
    head: BlobHead,
    key: DataKey,
}

impl BlobReader {
    /// Opens the key of a blob.
    pub(super) async fn open(
        state: &ServerState,
        permit: &Permit,
        owner: Owner,
        blob: BlobId,
    ) -> Result<Self, ApiError> {
        let head = blobs::head(&mut *state.store.read().await?, blob).await?;
        let head = head.ok_or(ApiError::Fault("a blob is missing"))?;
        let sealed_key = Sealed::from_bytes(head.key.clone());
        let key = state.vault.open_data_key(permit, &owner.context(blob), &sealed_key)?;
        Ok(Self { state: state.clone(), head, key })
    }

    /// Plain bytes of the whole.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.head.bytes).unwrap_or(0)
    }

    /// Up to `most` bytes from `offset` on.
    pub(super) async fn range(&self, offset: u64, most: usize) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut range = Zeroizing::new(Vec::new());
        while range.len() < most {
            let at = offset + range.len() as u64;
            let pieces = self.read(at, offset + most as u64).await?;
            if pieces.is_empty() {
                break;
            }
            let room = most - range.len();
            range.extend_from_slice(&pieces[..pieces.len().min(room)]);
        }
        Ok(range)
    }

    /// The whole as a body.
    pub(super) fn into_body(self) -> Body {
        Body::from_stream(self.into_stream())
    }

    fn into_stream(self) -> impl Stream<Item = Result<Bytes, ApiError>> {
        stream::try_unfold((self, 0u64), |(reader, at)| async move {
            if at >= reader.bytes() {
                return Ok(None);
            }
            let plain = reader.read(at, at + READ_AHEAD).await?;
            if plain.is_empty() {
                return Err(ApiError::Fault("a blob's chunk is missing"));
            }
            let next = at + plain.len() as u64;
            Ok(Some((Bytes::from(plain.to_vec()), (reader, next))))
        })
    }

    /// Some bytes from `offset` on, whole chunks up to `end`; empty at the end.
    async fn read(&self, offset: u64, end: u64) -> Result<Zeroizing<Vec<u8>>, ApiError> {
        let mut at = i64::try_from(offset).unwrap_or(i64::MAX);
        let end = i64::try_from(end).unwrap_or(i64::MAX);
        let chunks = blobs::chunks(&mut *self.state.store.read().await?, self.head.id, at, end).await?;
        let mut plain = Zeroizing::new(Vec::new());
        for chunk in chunks {
            if chunk.start > at {
                return Err(ApiError::Fault("a blob's chunk is missing"));
            }
            let opened = self.key.open_chunk(u64::try_from(chunk.number).unwrap_or(0), &chunk.sealed)?;
            let skip = usize::try_from(at - chunk.start).unwrap_or(0);
            plain.extend_from_slice(opened.get(skip..).unwrap_or_default());
            at = chunk.start + chunk.bytes;
        }
        Ok(plain)
    }
}

/// Lower-case hexadecimal SHA-256.
pub(super) fn digest_of(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&SHA256, bytes))
}
