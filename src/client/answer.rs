//! What came back: a value, nothing, a problem, or a stranger's words.
//!
//! Rule: an answer without a body counts only with the request id that every answer of the server carries: a proxy's
//! own 204 must never pass for «there is no state» or «the log is stored». Buffers are wiped, because some answers
//! carry secrets, and a JSON error is told without the text that it stumbled over.

use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, LOCATION};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::call::{Answer, Call};
use super::error::{ClientError, ErrorKind};
use super::retry::retry_after;
use crate::protocol::api::{Problem, StateLock};
use crate::protocol::{OFFSET_HEADER, REQUEST_ID_HEADER};

/// Bytes of a JSON answer at most; a claim carries the run's variables.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// Slowest download that is waited for, in bytes a second.
const SLOWEST_DOWNLOAD: u64 = 4 * 1024;
/// Bytes of an error answer that are read.
const PROBLEM_BYTES: usize = 64 * 1024;

impl Call<'_> {
    /// Sends it and reads a JSON value.
    pub(super) async fn value<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        self.send().await?.accepted().await?.json().await
    }

    /// Sends it and reads a JSON value, or `None` from a 204.
    pub(super) async fn value_or_nothing<T: DeserializeOwned>(self) -> Result<Option<T>, ClientError> {
        let answer = self.send().await?.accepted().await?;
        if answer.response.status() == StatusCode::NO_CONTENT {
            return answer.marked().map(|_| None);
        }
        answer.json().await.map(Some)
    }

    /// Sends it and wants no more than success.
    pub(super) async fn done(self) -> Result<(), ClientError> {
        self.send().await?.accepted().await?.marked().map(drop)
    }
}

impl Answer {
    /// Itself if the status says success; otherwise the error that it is.
    pub(super) async fn accepted(self) -> Result<Self, ClientError> {
        let status = self.response.status();
        if status.is_success() {
            return if page(self.response.headers()) { Err(self.stranger("an HTML page")) } else { Ok(self) };
        }
        Err(self.refusal().await)
    }

    /// Itself if it carries the server's request id.
    pub(super) fn marked(self) -> Result<Self, ClientError> {
        if self.response.headers().contains_key(REQUEST_ID_HEADER) {
            Ok(self)
        } else {
            Err(self.stranger("an answer without a request id"))
        }
    }

    async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let status = self.response.status().as_u16();
        let context = self.context.clone();
        let body = self.buffer(ANSWER_BYTES).await?;
        serde_json::from_slice(&body).map_err(|error| {
            let found = format!("an answer that cannot be understood ({})", blind(&error));
            context.error(ErrorKind::NotNigari { status, found })
        })
    }

    /// The body, at most `limit` bytes of it, in a buffer that is wiped.
    pub(super) async fn buffer(mut self, limit: usize) -> Result<Zeroizing<Vec<u8>>, ClientError> {
        let expected = self.response.content_length().and_then(|length| usize::try_from(length).ok());
        // As large as announced from the start: growing would leave copies behind that nobody wipes.
        let mut buffer = Zeroizing::new(Vec::with_capacity(expected.unwrap_or(16 * 1024).min(limit)));
        while let Some(chunk) = self.chunk().await? {
            if buffer.len() + chunk.len() > limit {
                return Err(self.context.error(ErrorKind::TooLarge { limit: limit as u64 }));
            }
            buffer.extend_from_slice(&chunk);
        }
        Ok(buffer)
    }

    /// The next piece of the body, in time: neither too long after the last one, nor in a drip that never ends.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, ClientError> {
        let enough = self.patience + Duration::from_secs(self.received / SLOWEST_DOWNLOAD);
        let left = enough.saturating_sub(self.began.elapsed()).min(self.patience);
        match tokio::time::timeout(left, self.response.chunk()).await {
            Ok(Ok(chunk)) => {
                self.received += chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
                Ok(chunk)
            }
            Ok(Err(error)) => Err(self.context.transport(error)),
            Err(_) => Err(self.context.error(ErrorKind::TimedOut)),
        }
    }

    /// The error that this answer is.
    async fn refusal(self) -> ClientError {
        let status = self.response.status();
        let headers = self.response.headers().clone();
        let context = self.context.clone();
        if status.is_redirection() || status.is_informational() {
            let found = format!("a redirect{}", redirected_to(&self));
            return self.stranger(&found);
        }
        let html = page(&headers);
        let body = self.buffer(PROBLEM_BYTES).await.unwrap_or_default();
        let kind = if status == StatusCode::LOCKED
            && let Ok(lock) = serde_json::from_slice::<StateLock>(&body)
            && !lock.id.is_empty()
        {
            ErrorKind::Locked(Box::new(lock))
        } else {
            match serde_json::from_slice::<Problem>(&body) {
                Ok(problem) => ErrorKind::Problem(Box::new(Problem { status: status.as_u16(), ..problem })),
                Err(_) if html => ErrorKind::NotNigari { status: status.as_u16(), found: "an HTML page".to_owned() },
                Err(_) => {
                    ErrorKind::NotNigari { status: status.as_u16(), found: "an error that is not ours".to_owned() }
                }
            }
        };
        context.error(kind).told(wait(&headers), number(&headers, OFFSET_HEADER))
    }

    pub(super) fn stranger(&self, found: &str) -> ClientError {
        let status = self.response.status().as_u16();
        self.context
            .error(ErrorKind::NotNigari { status, found: found.to_owned() })
            .told(wait(self.response.headers()), None)
    }
}

fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers.get(reqwest::header::RETRY_AFTER).and_then(|value| value.to_str().ok()).and_then(retry_after)
}

/// The number in a header.
pub(super) fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

fn page(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"))
}

/// The origin that a redirect names; never more of it, a `Location` can carry tokens.
fn redirected_to(answer: &Answer) -> String {
    answer
        .response
        .headers()
        .get(LOCATION)
        .and_then(|target| answer.response.url().join(target.to_str().ok()?).ok())
        .map(|target| format!(" to {}", target.origin().ascii_serialization()))
        .unwrap_or_default()
}

/// Where and how JSON is broken, without the value that serde would quote.
fn blind(error: &serde_json::Error) -> String {
    let what = match error.classify() {
        serde_json::error::Category::Data => "another shape than expected",
        serde_json::error::Category::Eof => "it ends too early",
        _ => "not JSON",
    };
    format!("{what}, line {}, column {}", error.line(), error.column())
}
