//! What the broker itself answers when it does not let something through.
//!
//! Rule: in the form in which OCI clients show errors of a registry, and never with anything secret in it.

use axum::http::{HeaderValue, header};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::{self, Body};

/// Errors of the distribution specification, section 3.
#[derive(Serialize)]
struct Errors<'t> {
    errors: [Error<'t>; 1],
}

#[derive(Serialize)]
struct Error<'t> {
    code: &'t str,
    message: &'t str,
}

/// An error as OCI clients read it.
pub(super) fn refuse(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let message = format!("{message} (nigari's broker)");
    let text = serde_json::to_string(&Errors { errors: [Error { code, message: &message }] });
    let mut response = Response::new(body::text(text.unwrap_or_default()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
