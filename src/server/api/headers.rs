//! The headers of ours: epoch, offset, digest.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::{ApiError, Code, ServerState};
use crate::protocol::{DIGEST_HEADER, EPOCH_HEADER, OFFSET_HEADER};

/// The epoch under which an agent speaks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epoch(pub(super) i64);

impl FromRequestParts<ServerState> for Epoch {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ServerState) -> Result<Self, ApiError> {
        epoch(&parts.headers).map(Self)
    }
}

/// The epoch, where a handler has the headers anyway.
pub(super) fn epoch(headers: &HeaderMap) -> Result<i64, ApiError> {
    number(headers, EPOCH_HEADER)
}

/// The offset that a body starts at.
pub(super) fn offset(headers: &HeaderMap) -> Result<u64, ApiError> {
    number::<u64>(headers, OFFSET_HEADER)
}

/// The digest that a body should have, if the client says one.
pub(super) fn digest(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    let Some(value) = headers.get(DIGEST_HEADER) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let well_formed = text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !well_formed {
        let text = format!("the header `{DIGEST_HEADER}` is not a SHA-256; hint: 64 lower-case hexadecimal digits");
        return Err(ApiError::new(Code::Malformed, text));
    }
    Ok(Some(text.to_owned()))
}

fn number<T: std::str::FromStr>(headers: &HeaderMap, name: &'static str) -> Result<T, ApiError> {
    let value = headers.get(name).and_then(|value| value.to_str().ok()).and_then(|text| text.parse().ok());
    value.ok_or_else(|| ApiError::new(Code::Malformed, format!("the header `{name}` is missing or not a number")))
}
