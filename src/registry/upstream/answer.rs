//! A registry's answer on its way to whoever asked.
//!
//! Rule: its body is never held whole, and one that comes to a standstill is given up.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Response, StatusCode};
use tokio::sync::mpsc;

use crate::registry::exchange::{ExchangeError, failure};

/// A small body is read to its end, so that its connection can be used again.
const SMALL: u64 = 64 * 1024;
/// How long that may take.
const SOON: Duration = Duration::from_secs(2);
/// A body that may have more bytes than this is read ahead of whoever takes it.
const LARGE: u64 = 1024 * 1024;
/// Pieces that are read ahead, each of some 16 KiB (a TLS record) as a rule: a step may have hundreds of connections.
const AHEAD: usize = 8;
/// Bytes that have to come within the time after which a body stands still.
const CRAWL: usize = 1024;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers, as they came.
    pub headers: HeaderMap,
    /// The integration whose credential was shown for it.
    pub integration: Option<String>,
    /// What follows.
    pub body: Body,
}

/// A body, piece by piece.
#[derive(Debug)]
pub struct Body(Source);

#[derive(Debug)]
enum Source {
    Registry(Reader),
    /// From a task that reads; `None` at the end.
    Ahead(mpsc::Receiver<Result<Option<Bytes>, ExchangeError>>),
}

/// Reads from the registry.
#[derive(Debug)]
struct Reader {
    response: Response,
    stall: Duration,
}

impl Answer {
    pub(super) fn of(response: Response, integration: Option<String>, stall: Duration) -> Self {
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, integration, body: Body(Source::Registry(Reader { response, stall })) }
    }
}

impl Body {
    /// The next pieces, at least a kilobyte of them or the rest: whoever sends less than that in the whole time stands
    /// still. `None` at the end, after which nobody asks again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match &mut self.0 {
            Source::Registry(reader) => reader.next().await,
            // A reader that ends without a word has not come to the end.
            Source::Ahead(pieces) => pieces.recv().await.unwrap_or(Err(ExchangeError::NotHttp)),
        }
    }

    /// The same, a large one read by a task of its own, some pieces ahead: reading and giving on, each with its own
    /// encryption, then go on at the same time. Needs a runtime.
    #[must_use]
    pub fn ahead(self) -> Self {
        match self.0 {
            Source::Registry(reader) if reader.response.content_length().is_none_or(|length| length > LARGE) => {
                let (sender, pieces) = mpsc::channel(AHEAD);
                tokio::spawn(reader.read_to(sender));
                Self(Source::Ahead(pieces))
            }
            source => Self(source),
        }
    }
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        let mut pieces = Pieces::default();
        let read = async {
            while pieces.bytes < CRAWL {
                match self.response.chunk().await.map_err(|error| failure(&error))? {
                    Some(piece) => pieces.add(piece),
                    None => return Ok(()),
                }
            }
            Ok(())
        };
        tokio::time::timeout(self.stall, read).await.unwrap_or(Err(ExchangeError::TimedOut))?;
        Ok(pieces.take())
    }

    /// Until the end, or nobody takes any more.
    async fn read_to(mut self, sender: mpsc::Sender<Result<Option<Bytes>, ExchangeError>>) {
        loop {
            let next = tokio::select! {
                next = self.next() => next,
                () = sender.closed() => return,
            };
            let is_over = !matches!(next, Ok(Some(_)));
            if sender.send(next).await.is_err() || is_over {
                return;
            }
        }
    }
}

/// Nearly always one piece, which is then not copied.
#[derive(Default)]
struct Pieces {
    first: Option<Bytes>,
    more: Vec<u8>,
    bytes: usize,
}

impl Pieces {
    fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        match &self.first {
            None => self.first = Some(piece),
            Some(first) if self.more.is_empty() => self.more = [first.as_ref(), piece.as_ref()].concat(),
            Some(_) => self.more.extend_from_slice(&piece),
        }
    }

    fn take(self) -> Option<Bytes> {
        if self.more.is_empty() { self.first } else { Some(self.more.into()) }
    }
}

/// Reads what is left of a small answer.
pub(super) async fn drain(mut response: Response) {
    if response.content_length().is_some_and(|length| length <= SMALL) {
        let read = async { while let Ok(Some(_)) = response.chunk().await {} };
        // Whatever is not read in time costs the connection, no more.
        let _ = tokio::time::timeout(SOON, read).await;
    }
}

#[cfg(test)]
mod tests {
    use super::Pieces;

    #[test]
    fn pieces_are_put_together_in_order() {
        let mut pieces = Pieces::default();
        assert!(Pieces::default().take().is_none());
        for piece in ["a", "bc", "", "d"] {
            pieces.add(bytes::Bytes::from(piece));
        }
        assert_eq!((pieces.bytes, pieces.take().unwrap().as_ref()), (4, &b"abcd"[..]));
    }
}
