//! `ETag` and `If-Match`: whoever read a thing may demand that it has not changed since.

use axum::http::header::{ETAG, IF_MATCH};
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use super::problem::{ApiError, Code};

/// The header of an answer that shows a thing.
pub(super) fn etag(revision: i64) -> [(HeaderName, HeaderValue); 1] {
    let value = HeaderValue::try_from(format!("\"{revision}\"")).unwrap_or(HeaderValue::from_static("\"\""));
    [(ETAG, value)]
}

/// Refuses when the request was made for another revision. Without the header any will do.
pub(super) fn check(headers: &HeaderMap, revision: i64) -> Result<(), ApiError> {
    let current = format!("\"{revision}\"");
    let mut wanted = headers.get_all(IF_MATCH).iter().peekable();
    if wanted.peek().is_none() {
        return Ok(());
    }
    let matches = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| text.split(',').any(|tag| matches!(tag.trim(), "*") || tag.trim() == current))
    };
    if wanted.any(matches) {
        return Ok(());
    }
    let text = "it was changed since it was read; hint: read it again and decide anew";
    Err(ApiError::new(Code::PreconditionFailed, text))
}
