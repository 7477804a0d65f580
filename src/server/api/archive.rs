//! The check of an archive while it comes in.

use std::io::{self, Read};

use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::{ApiError, Code};
use crate::configuration::{ArchiveError, Facts, Limits, check_for};
use crate::protocol::limits::of_configuration;

/// Pieces between the connection and the check.
const PIECES: usize = 8;

/// A check that goes on, on a blocking thread.
pub(super) struct Checking {
    pieces: mpsc::Sender<Bytes>,
    check: JoinHandle<Result<(Facts, bool), ArchiveError>>,
    working_directory: String,
}

impl Checking {
    /// Begins; `working_directory` in normal form.
    pub(super) fn begin(working_directory: &str) -> Self {
        let (pieces, receiver) = mpsc::channel(PIECES);
        let working_directory = working_directory.to_owned();
        let directory = working_directory.clone();
        let check = tokio::task::spawn_blocking(move || {
            check_for(Incoming { receiver, piece: Bytes::new() }, &of_configuration(Limits::new), &directory)
        });
        Self { pieces, check, working_directory }
    }

    /// Gives it more; `false` when it has refused already.
    pub(super) async fn feed(&self, piece: &Bytes) -> bool {
        self.pieces.send(piece.clone()).await.is_ok()
    }

    /// What it found.
    pub(super) async fn end(self) -> Result<(), ApiError> {
        drop(self.pieces);
        let checked = self.check.await.map_err(|_| ApiError::Fault("the check of an archive failed"))?;
        let (facts, found) = checked.map_err(|error| {
            let hint = error.hint().map(|hint| format!("; hint: {hint}")).unwrap_or_default();
            ApiError::new(Code::Invalid, format!("the configuration's archive is refused: {error}{hint}"))
        })?;
        if !found {
            let text = format!("the archive has no directory `{}`; hint: check its spelling", self.working_directory);
            return Err(ApiError::invalid("working_directory", text));
        }
        if !facts.has_configuration {
            let text = "the archive has no file that OpenTofu reads; hint: upload the directory with the `.tf` files";
            return Err(ApiError::new(Code::Invalid, text));
        }
        Ok(())
    }
}

/// The pieces as a blocking reader.
struct Incoming {
    receiver: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.piece.len());
        let now = self.piece.split_to(length);
        buffer[..length].copy_from_slice(&now);
        Ok(length)
    }
}
