//! Bodies on their way to the child: counted, and a manifest's digest taken as it passes.
//!
//! Rule: piece by piece, never whole. What breaks on the way breaks the child's connection, so that it never takes a
//! part for the whole.

use std::io;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use axum::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;

use super::asked::Asked;
use super::record::Record;
use crate::registry::upstream;

/// What a child gets.
pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Bytes of a manifest, an index, or a list; what OpenTofu reads of a manifest.
const MANIFEST_BYTES: usize = 4 * 1024 * 1024;

/// No body.
pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// A body of ours.
pub(super) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body on its way.
pub(super) struct Passage {
    pub(super) body: upstream::Body,
    pub(super) record: Arc<Record>,
    pub(super) host: String,
    pub(super) manifest: Option<Manifest>,
}

/// A manifest on its way.
pub(super) struct Manifest {
    name: String,
    expected: Option<String>,
    context: Context,
    bytes: usize,
    /// Where the answer says it: whoever reads that many does not ask for more.
    length: Option<usize>,
}

impl Manifest {
    /// For an answer that is a manifest.
    pub(super) fn of(asked: &Asked, host: &str, status: StatusCode, headers: &HeaderMap) -> Option<Self> {
        let Asked::Manifest { repository, reference } = asked else { return None };
        let claimed = headers.get("docker-content-digest").and_then(|value| value.to_str().ok());
        let expected = if reference.starts_with("sha256:") { Some(reference.as_str()) } else { claimed };
        (status == StatusCode::OK).then(|| Self {
            name: format!("{host}/{repository}"),
            expected: expected.filter(|digest| digest.starts_with("sha256:")).map(str::to_owned),
            context: Context::new(&SHA256),
            bytes: 0,
            length: headers.get("content-length").and_then(|value| value.to_str().ok()?.parse().ok()),
        })
    }

    /// Takes a piece; gives whether it was the last.
    fn add(&mut self, piece: &[u8]) -> io::Result<bool> {
        self.bytes += piece.len();
        if self.bytes > MANIFEST_BYTES {
            return Err(io::Error::other(format!(
                "the manifest of {} has more than {MANIFEST_BYTES} bytes",
                self.name
            )));
        }
        self.context.update(piece);
        Ok(self.length == Some(self.bytes))
    }

    fn end(self, record: &Record) {
        let digest = format!("sha256:{}", hex::encode(self.context.finish()));
        if self.expected.is_some_and(|expected| expected != digest) {
            record.note(format!("a manifest of {} has not the digest that it should have", self.name));
        }
        record.pulled(format!("{}@{digest}", self.name));
    }
}

impl Passage {
    /// The body that the child reads.
    pub(super) fn into_body(self) -> Body {
        let frames = stream::unfold(Some(self), |passage| async {
            let mut passage = passage?;
            match passage.next().await {
                Ok(Some(piece)) => Some((Ok(Frame::data(piece)), Some(passage))),
                Ok(None) => {
                    passage.end_manifest();
                    None
                }
                Err(error) => {
                    passage.record.fault(format!("`{}`: the answer broke off: {error}", passage.host));
                    Some((Err(error), None))
                }
            }
        });
        StreamBody::new(frames).boxed_unsync()
    }

    pub(super) async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let piece = self.body.next().await.map_err(io::Error::other)?;
        if let Some(piece) = &piece {
            self.record.bytes(&self.host, piece.len());
            let last = self.manifest.as_mut().map(|manifest| manifest.add(piece)).transpose()?;
            if last == Some(true) {
                self.end_manifest();
            }
        }
        Ok(piece)
    }

    fn end_manifest(&mut self) {
        if let Some(manifest) = self.manifest.take() {
            manifest.end(&self.record);
        }
    }
}
