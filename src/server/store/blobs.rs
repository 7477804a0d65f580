//! Big things: configurations, artifacts, logs, states. One row per blob, one per chunk.
//!
//! Rule: chunks are sealed before they come here, at most [`CHUNK_BYTES`] of plain text each. A blob that nothing refers
//! to is swept, so whoever makes one refers to it in the same transaction or completes it later.

use sqlx::AnyConnection;

use super::row::Columns;
use super::transaction::sql;
use super::{During, StoreError, WriteTransaction};
use crate::protocol::Timestamp;
use crate::protocol::id::BlobId;

/// Plain bytes of a chunk at most.
pub const CHUNK_BYTES: usize = 256 * 1024;
/// Chunks that one read gives at most: a log may consist of many small ones.
pub const AT_ONCE: i64 = 256;

/// One chunk.
#[derive(Debug)]
pub struct SealedChunk {
    /// Its number, from 0.
    pub number: i64,
    /// The plain offset that it starts at.
    pub start: i64,
    /// Its plain length.
    pub bytes: i64,
    /// What is stored.
    pub sealed: Vec<u8>,
}

/// What is known of a blob.
#[derive(Debug)]
pub struct BlobHead {
    /// Its id.
    pub id: BlobId,
    /// Its sealed data key.
    pub key: Vec<u8>,
    /// Plain bytes.
    pub bytes: i64,
    /// Number of the next chunk.
    pub next: i64,
}

/// Makes a blob without chunks.
///
/// # Errors
/// When the database fails.
pub async fn begin(tx: &mut WriteTransaction, id: BlobId, key: &[u8], now: Timestamp) -> Result<(), StoreError> {
    sql("INSERT INTO blobs (id, key, bytes, created_at) VALUES ($1, $2, 0, $3)")
        .bind(id.to_string())
        .bind(key.to_vec())
        .bind(now)
        .execute(&mut **tx)
        .await
        .during("make a blob")
        .map(drop)
}

/// Adds chunks to the end of a blob.
///
/// # Errors
/// When the database fails or a chunk of that number is there.
pub async fn append(tx: &mut WriteTransaction, id: BlobId, chunks: Vec<SealedChunk>) -> Result<(), StoreError> {
    let mut end = None;
    for chunk in chunks {
        end = Some(chunk.start + chunk.bytes);
        sql("INSERT INTO blob_chunks (blob_id, number, start, bytes, sealed) VALUES ($1, $2, $3, $4, $5)")
            .bind(id.to_string())
            .bind(chunk.number)
            .bind(chunk.start)
            .bind(chunk.bytes)
            .bind(chunk.sealed)
            .execute(&mut **tx)
            .await
            .during("write a chunk")?;
    }
    let Some(end) = end else { return Ok(()) };
    sql("UPDATE blobs SET bytes = $1 WHERE id = $2")
        .bind(end)
        .bind(id.to_string())
        .execute(&mut **tx)
        .await
        .during("write a blob's length")
        .map(drop)
}

/// What is known of a blob.
///
/// # Errors
/// When the database fails.
pub async fn head(connection: &mut AnyConnection, id: BlobId) -> Result<Option<BlobHead>, StoreError> {
    let row =
        sql("SELECT key, bytes, (SELECT COALESCE(MAX(number) + 1, 0) FROM blob_chunks WHERE blob_id = $1) AS next \
         FROM blobs WHERE id = $1")
        .bind(id.to_string())
        .fetch_optional(connection)
        .await
        .during("read a blob")?;
    row.map(|row| Ok(BlobHead { id, key: row.value("key")?, bytes: row.value("bytes")?, next: row.value("next")? }))
        .transpose()
}

/// The chunks with the plain bytes from `offset` to `end`, at most [`AT_ONCE`] of them.
///
/// # Errors
/// When the database fails.
pub async fn chunks(
    connection: &mut AnyConnection,
    id: BlobId,
    offset: i64,
    end: i64,
) -> Result<Vec<SealedChunk>, StoreError> {
    sql("SELECT number, start, bytes, sealed FROM blob_chunks WHERE blob_id = $1 AND start + bytes > $2 \
         AND start < $3 ORDER BY number LIMIT $4")
    .bind(id.to_string())
    .bind(offset)
    .bind(end)
    .bind(AT_ONCE)
    .fetch_all(connection)
    .await
    .during("read chunks of a blob")?
    .iter()
    .map(|row| {
        Ok(SealedChunk {
            number: row.value("number")?,
            start: row.value("start")?,
            bytes: row.value("bytes")?,
            sealed: row.value("sealed")?,
        })
    })
    .collect()
}

/// Deletes up to `limit` blobs that were made before `before` and that nothing refers to: broken uploads, artifacts of
/// finished runs, what belonged to a deleted workspace. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn sweep(tx: &mut WriteTransaction, before: Timestamp, limit: i64) -> Result<u64, StoreError> {
    sql("DELETE FROM blobs WHERE id IN (SELECT b.id FROM blobs b WHERE b.created_at < $1 \
         AND NOT EXISTS (SELECT 1 FROM configurations c WHERE c.blob_id = b.id) \
         AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.artifact_blob_id = b.id) \
         AND NOT EXISTS (SELECT 1 FROM run_logs l WHERE l.blob_id = b.id) \
         AND NOT EXISTS (SELECT 1 FROM state_versions s WHERE s.blob_id = b.id) LIMIT $2)")
    .bind(before)
    .bind(limit)
    .execute(&mut **tx)
    .await
    .during("sweep blobs")
    .map(|done| done.rows_affected())
}
