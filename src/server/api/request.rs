//! What happens around every request: its id, its line in the log, its problem's body, and panics caught.

use std::any::Any;
use std::borrow::Cow;

use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use super::problem::{ApiError, Code};
use crate::clock::BootInstant;
use crate::protocol::REQUEST_ID_HEADER;
use crate::protocol::api::Problem;
use crate::protocol::id::RequestId;

/// Names the request, logs it, and writes the body of its problem if it has one.
pub(super) async fn surround(request: Request, next: Next) -> Response {
    let id = RequestId::generate().to_string();
    let began = BootInstant::now();
    let method = request.method().clone();
    // The matched path, not the requested one: no query, nothing that a client makes up.
    let path =
        request.extensions().get::<MatchedPath>().map_or(Cow::Borrowed("-"), |path| path.as_str().to_owned().into());
    let span = tracing::info_span!("request", id = %id);
    let mut response = next.run(request).instrument(span.clone()).await;
    if let Some(mut problem) = response.extensions_mut().remove::<Problem>() {
        problem.request_id = Some(id.clone());
        write_problem(&mut response, &problem);
    }
    if let Ok(value) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID_HEADER, value);
    }
    response.headers_mut().entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    let status = response.status().as_u16();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    span.in_scope(|| tracing::debug!(%method, %path, status, milliseconds, "answered"));
    response
}

fn write_problem(response: &mut Response, problem: &Problem) {
    let body = serde_json::to_vec(problem).unwrap_or_default();
    let unauthorized = response.status() == StatusCode::UNAUTHORIZED;
    let headers = response.headers_mut();
    headers.remove(axum::http::header::CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    if unauthorized {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    *response.body_mut() = Body::from(body);
}

/// The answer to a request whose handler panicked.
#[expect(clippy::needless_pass_by_value, reason = "the signature that `CatchPanicLayer` calls")]
pub(super) fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("?"), "a request's handler panicked");
    ApiError::Fault("a handler panicked").into_response()
}

/// No such route.
pub(super) async fn unknown_route() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such route; hint: the API is below `/api/v1`")
}

/// The route exists, but not with this method.
pub(super) async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the route does not take this method; hint: see the header `allow`")
}
