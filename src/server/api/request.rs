//! What happens around every request: its id, its line in the log, its problem's body, and panics caught.

use std::any::Any;
use std::borrow::Cow;

use axum::Router;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::Instrument;

use super::problem::{ApiError, Code};
use crate::clock::BootInstant;
use crate::protocol::REQUEST_ID_HEADER;
use crate::protocol::api::Problem;
use crate::protocol::id::RequestId;

/// Puts the frame around routes.
pub(super) fn framed<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn(surround))
}

/// Names the request, logs it, and writes the body of its problem if it has one.
async fn surround(request: Request, next: Next) -> Response {
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
fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text =
        panic.downcast_ref::<&str>().map(ToString::to_string).or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = text.as_deref().unwrap_or("?"), "a request's handler panicked");
    ApiError::Fault("a handler panicked").into_response()
}

/// No such route.
async fn unknown_route() -> ApiError {
    ApiError::new(Code::NotFound, "there is no such route; hint: the API is below `/api/v1`")
}

/// The route exists, but not with this method.
async fn method_not_allowed() -> ApiError {
    ApiError::new(Code::MethodNotAllowed, "the route does not take this method; hint: see the header `allow`")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::extract::Request;
    use axum::routing::get;
    use axum::{Router, http};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::framed;
    use crate::protocol::api::Problem;

    async fn fails() -> &'static str {
        panic!("hunter22 is wrong")
    }

    #[tokio::test]
    async fn a_panic_is_a_problem_that_tells_nothing() {
        let router: Router = framed(Router::new().route("/", get(fails)));
        let answer = router.oneshot(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        let id = answer.headers()["x-request-id"].to_str().unwrap().to_owned();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let problem: Problem = serde_json::from_slice(&body).unwrap();
        assert_eq!((problem.code.as_str(), problem.request_id), ("internal", Some(id)));
        assert!(!String::from_utf8_lossy(&body).contains("hunter22"));
    }
}
