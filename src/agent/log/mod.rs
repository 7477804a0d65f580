//! The log of one phase on its way to the server: by offset, in batches, in bounded memory.
//!
//! Rule: tofu never waits for ever for its output to be taken. While the server is away the buffer fills, then tofu
//! waits a while, then output is dropped, and the log itself says how much. What was sent is never sent elsewhere.

mod buffer;
mod sender;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinHandle;

use buffer::Buffer;

use crate::protocol::run::Step;
use crate::redact::Redactions;

/// What the log is sent to.
pub(crate) trait LogSink: Send + Sync + 'static {
    /// Appends at `offset`; gives the next one.
    fn append(&self, offset: u64, bytes: Bytes) -> impl Future<Output = Result<u64, SinkError>> + Send;
}

/// Why nothing was appended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SinkError {
    /// The server has the log up to another offset.
    #[error("the server wants the log from {0} on")]
    Offset(u64),
    /// A repeat may succeed.
    #[error("{0}")]
    Away(String),
    /// No repeat will.
    #[error("{0}")]
    Refused(String),
}

/// When things happen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long data waits for more.
    pub(crate) flush: Duration,
    /// How long tofu waits for room before output is dropped.
    pub(crate) stall: Duration,
    /// Bytes that are kept while they cannot be sent.
    pub(crate) room: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Self { flush: Duration::from_millis(250), stall: Duration::from_secs(20), room: 4 << 20 }
    }
}

/// The writing end; clones write to the same log.
#[derive(Clone)]
pub(crate) struct Log {
    buffer: Arc<Buffer>,
    redactions: Redactions,
}

/// The sending end.
pub(crate) struct Spool {
    buffer: Arc<Buffer>,
    task: JoinHandle<u64>,
}

/// Opens the log of a phase.
pub(crate) fn open<S: LogSink>(sink: S, pace: Pace) -> (Log, Spool) {
    let buffer = Arc::new(Buffer::new(pace.room, pace.stall));
    let task = tokio::spawn(sender::send(sink, Arc::clone(&buffer), pace));
    (Log { buffer: Arc::clone(&buffer), redactions: Redactions::new() }, Spool { buffer, task })
}

impl Log {
    /// The same log, without what these look for.
    pub(crate) fn without(self, redactions: &Redactions) -> Self {
        Self { redactions: redactions.clone(), ..self }
    }

    /// What must not be in it, nor in anything else that is told of the run.
    pub(crate) fn redactions(&self) -> &Redactions {
        &self.redactions
    }

    /// Takes output of tofu, already redacted; waits for room, but not for ever.
    pub(crate) async fn write(&self, bytes: &[u8]) {
        self.buffer.write(bytes).await;
    }

    /// The line that a step begins with.
    pub(crate) fn header(&self, step: Step, command: &str) {
        self.buffer.push(format!("\u{1b}[1mnigari: {step}\u{1b}[0m (tofu {command})\n").as_bytes());
    }

    /// A line of ours.
    pub(crate) fn note(&self, text: &str) {
        self.buffer.push(format!("nigari: {}\n", self.redactions.text(text)).as_bytes());
    }
}

impl Spool {
    /// Sends what is left, for at most `patience`, and gives the bytes that the server has.
    pub(crate) async fn finish(mut self, patience: Duration) -> u64 {
        self.buffer.close();
        if let Ok(sent) = tokio::time::timeout(patience, &mut self.task).await {
            return sent.unwrap_or(0);
        }
        self.task.abort();
        tracing::warn!("the end of a log could not be sent");
        self.buffer.acknowledged()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        self.buffer.close();
    }
}

#[cfg(test)]
mod tests;
