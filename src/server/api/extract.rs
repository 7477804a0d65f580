//! Reading requests: JSON bodies, places in the path, queries.
//!
//! Rule: every refusal is a problem that names the field, and none repeats a value, because the value may be a secret
//! in the wrong field.

use axum::RequestPartsExt;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::problem::{ApiError, Code};
use super::state::ServerState;
use super::{malformed, wiped};
use crate::protocol::limits::JSON_BYTES;

/// A JSON body: unknown fields are refused (by the type), at most 1 MiB. As an answer: JSON.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<T: DeserializeOwned> FromRequest<ServerState> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &ServerState) -> Result<Self, ApiError> {
        if !is_json(request.headers()) {
            return Err(ApiError::new(
                Code::MediaType,
                "the body is not declared as JSON; hint: send `content-type: application/json`",
            ));
        }
        // Wiped after reading: it may hold a secret.
        let body = Zeroizing::new(read_body(request, JSON_BYTES).await?.to_vec());
        serde_json::from_slice(&body).map(Self).map_err(|error| malformed::explain(&body, &error))
    }
}

impl<T: serde::Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> axum::response::Response {
        match wiped::json(&self.0) {
            Ok(body) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
            Err(_) => ApiError::Fault("an answer is not JSON").into_response(),
        }
    }
}

/// Reads a body of at most `limit` bytes.
///
/// # Errors
/// `too_large`, or `malformed` when the connection breaks off.
pub async fn read_body(request: Request, limit: usize) -> Result<Bytes, ApiError> {
    let body = Limited::new(request.into_body(), limit).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| {
        if error.is::<http_body_util::LengthLimitError>() {
            ApiError::new(Code::TooLarge, format!("the body has more than {limit} bytes; hint: send less at a time"))
        } else {
            ApiError::new(Code::Malformed, "the body broke off")
        }
    })
}

fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    media_type.eq_ignore_ascii_case("application/json")
}

/// Places in the path. What is not an id or word of the expected kind names nothing: 404.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send + 'static> FromRequestParts<ServerState> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ServerState) -> Result<Self, ApiError> {
        let nothing = || ApiError::new(Code::NotFound, "the path names nothing; hint: check the ids and words in it");
        // Nothing is called so, and PostgreSQL refuses to look for a NUL.
        if parts.uri.path().contains("%00") {
            return Err(nothing());
        }
        match parts.extract::<axum::extract::Path<T>>().await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) if rejection.status() == StatusCode::BAD_REQUEST => Err(nothing()),
            Err(_) => Err(ApiError::Fault("a route's places do not fit its handler")),
        }
    }
}

/// The query. Unknown fields are refused by the type.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned> FromRequestParts<ServerState> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &ServerState) -> Result<Self, ApiError> {
        let query = axum::extract::Query::<T>::try_from_uri(&parts.uri);
        query.map(|axum::extract::Query(value)| Self(value)).map_err(|rejection| {
            let text = rejection.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            let told = text.chars().filter(|c| !c.is_control()).take(300).collect::<String>();
            ApiError::new(Code::Malformed, format!("the query cannot be read: {told}"))
        })
    }
}
