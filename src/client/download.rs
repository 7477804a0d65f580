//! Bodies that are read piece by piece.
//!
//! Rule: a digest that the server names is checked, and the end of the body is only reported when it fits.

use std::fmt;
use std::path::Path;

use aws_lc_rs::digest;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};

use super::answer::number;
use super::call::Answer;
use super::error::{ClientError, ErrorKind};
use crate::protocol::{COMPLETE_HEADER, DIGEST_HEADER, EPOCH_HEADER, OFFSET_HEADER};

/// A body that comes piece by piece.
pub struct Download {
    answer: Answer,
    digest: Option<String>,
    running: digest::Context,
    received: u64,
    limit: u64,
}

impl Download {
    pub(super) fn new(answer: Answer, limit: u64) -> Self {
        let digest = answer
            .response
            .headers()
            .get(DIGEST_HEADER)
            .and_then(|value| value.to_str().ok())
            .map(str::to_ascii_lowercase);
        Self { answer, digest, running: digest::Context::new(&digest::SHA256), received: 0, limit }
    }

    /// Bytes that the server announced.
    pub fn length(&self) -> Option<u64> {
        self.answer.response.content_length()
    }

    /// Lower-case hexadecimal SHA-256 that the server announced.
    pub fn digest(&self) -> Option<&str> {
        self.digest.as_deref()
    }

    /// The next piece; `None` at the end, when the whole fits the announced digest.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let Some(chunk) = self.answer.chunk().await? else {
            return self.ended().map(|()| None);
        };
        self.received += chunk.len() as u64;
        if self.received > self.limit {
            return Err(self.answer.context.error(ErrorKind::TooLarge { limit: self.limit }));
        }
        self.running.update(&chunk);
        Ok(Some(chunk))
    }

    fn ended(&self) -> Result<(), ClientError> {
        let fits =
            self.digest.as_deref().is_none_or(|announced| announced == hex::encode(self.running.clone().finish()));
        if fits { Ok(()) } else { Err(self.answer.stranger("bytes that do not fit their digest")) }
    }

    /// All of it, in memory.
    pub async fn bytes(mut self) -> Result<Bytes, ClientError> {
        let announced = usize::try_from(self.length().unwrap_or(0).min(self.limit)).unwrap_or(0);
        let mut bytes = BytesMut::with_capacity(announced.min(1024 * 1024));
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// Writes all of it to `sink`, which is at `path` (for messages). Gives the number of bytes.
    pub async fn write_to(mut self, sink: &mut (impl AsyncWrite + Unpin), path: &Path) -> Result<u64, ClientError> {
        let context = self.answer.context.clone();
        let failed = |error| context.error(ErrorKind::File(path.to_owned())).caused_by(error);
        while let Some(chunk) = self.chunk().await? {
            sink.write_all(&chunk).await.map_err(failed)?;
        }
        sink.flush().await.map_err(failed)?;
        Ok(self.received)
    }
}

impl fmt::Debug for Download {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Download({} bytes so far)", self.received)
    }
}

/// A part of a log.
#[derive(Debug)]
pub struct LogPart {
    /// The bytes from the asked offset on. When reading them breaks off, go on at the asked offset plus what came.
    pub bytes: Download,
    /// Where to go on after all of `bytes`.
    pub next_offset: u64,
    /// Whether nothing will follow `bytes`.
    pub complete: bool,
    /// The claim whose log this is, 0 before there is one. Another one than before means that the phase began anew,
    /// and its log is read from 0.
    pub epoch: i64,
}

impl LogPart {
    pub(super) fn new(answer: Answer, limit: u64) -> Result<Self, ClientError> {
        let headers = answer.response.headers();
        let complete = headers.get(COMPLETE_HEADER).is_some_and(|value| value == "true");
        let Some(next_offset) = number(headers, OFFSET_HEADER) else {
            return Err(answer.stranger("a log without its next offset"));
        };
        let epoch = number(headers, EPOCH_HEADER).and_then(|epoch| i64::try_from(epoch).ok()).unwrap_or(0);
        Ok(Self { bytes: Download::new(answer, limit), next_offset, complete, epoch })
    }
}
