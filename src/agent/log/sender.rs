//! Sends a buffer, batch by batch.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::buffer::{Buffer, Filling};
use super::{LogSink, Pace, SinkError};
use crate::protocol::limits::LOG_PATCH_BYTES;

const BATCH: usize = LOG_PATCH_BYTES / 2;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs until the buffer is closed and empty; gives the offset that the server has reached.
pub(super) async fn send<S: LogSink>(sink: S, buffer: Arc<Buffer>, pace: Pace) -> u64 {
    let mut offset = 0;
    loop {
        match buffer.filling(BATCH) {
            Filling::Closed { is_empty: true } => return offset,
            Filling::Empty => {
                buffer.filled().await;
                continue;
            }
            Filling::Some { is_full: false } => gather(&buffer, pace.flush).await,
            Filling::Some { is_full: true } | Filling::Closed { is_empty: false } => {}
        }
        let batch = buffer.take_batch(BATCH);
        match append(&sink, offset, batch).await {
            Ok(next) => {
                offset = next;
                buffer.acknowledge(offset);
            }
            Err(error) => {
                tracing::warn!(%error, "the server does not take the log any more");
                buffer.refuse();
            }
        }
    }
}

/// Waits for more to come, until there is a batch, the end, or the time is up.
async fn gather(buffer: &Buffer, flush: Duration) {
    let enough = async {
        loop {
            buffer.filled().await;
            if !matches!(buffer.filling(BATCH), Filling::Some { is_full: false } | Filling::Empty) {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(flush, enough).await;
}

/// Sends one batch until the server has it, wherever it wants it.
async fn append<S: LogSink>(sink: &S, mut offset: u64, mut batch: Bytes) -> Result<u64, SinkError> {
    let mut pause = FIRST_PAUSE;
    while !batch.is_empty() {
        match sink.append(offset, batch.clone()).await {
            Ok(next) => return Ok(next),
            Err(SinkError::Offset(wanted)) if wanted == offset => {
                return Err(SinkError::Refused(format!("the server refuses the offset {offset} that it wants")));
            }
            Err(SinkError::Offset(wanted)) => {
                // An answer was lost: part of the batch is there. Whatever else it is, what we still have goes where
                // the server wants it.
                let there = usize::try_from(wanted.saturating_sub(offset)).unwrap_or(usize::MAX);
                batch = batch.split_off(there.min(batch.len()));
                offset = wanted;
            }
            Err(SinkError::Away(_)) => {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Err(error @ SinkError::Refused(_)) => return Err(error),
        }
    }
    Ok(offset)
}
