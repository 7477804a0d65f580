//! One request: route, operation for messages, body, patience.
//!
//! Rule: names that people give become whole path segments, percent-encoded; one that would change the route (`..`, or
//! an empty one) is refused before anything is sent.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response};
use serde::Serialize;
use zeroize::Zeroizing;

use super::connection::Client;
use super::error::{ClientError, Context, ErrorKind};
use super::token::bearer;
use super::upload::Upload;
use crate::clock::BootInstant;
use crate::protocol::API;
use crate::secret::Secret;
use crate::tls::{ConnectFailure, presented_certificate};

/// Slowest upload that is waited for, in bytes a second.
const SLOWEST_UPLOAD: u64 = 64 * 1024;

/// A request that is being put together.
pub(super) struct Call<'c> {
    client: &'c Client,
    context: Context,
    method: Method,
    url: url::Url,
    headers: HeaderMap,
    body: Option<reqwest::Body>,
    patience: Duration,
    refused: Option<ClientError>,
}

/// An answer whose status and body have not been looked at.
pub(super) struct Answer {
    pub(super) context: Context,
    pub(super) response: Response,
    /// How long each further piece of the body may take.
    pub(super) patience: Duration,
    /// When the head came.
    pub(super) began: BootInstant,
    /// Bytes of the body so far.
    pub(super) received: u64,
}

impl Client {
    /// A request to a route below the API; `operation` is what follows «cannot» in messages.
    pub(super) fn call(&self, method: Method, route: &[&str], operation: impl Into<String>) -> Call<'_> {
        self.plain_call(method, API, route, operation.into())
    }

    /// A request to a route below `base`.
    pub(super) fn plain_call(&self, method: Method, base: &str, route: &[&str], operation: String) -> Call<'_> {
        let context =
            Context { operation, server: self.server.to_string(), login_hint: self.login_hint, has_ca: self.has_ca };
        let mut url = self.server.url().clone();
        url.set_path(base);
        let mut refused = None;
        // The URL parser would silently drop such segments and reach another route.
        if let Some(odd) = route.iter().find(|segment| matches!(**segment, "" | "." | "..")) {
            refused = Some(context.error(ErrorKind::Refused(format!("`{odd}` cannot be a name"))));
        } else if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(route);
        }
        let mut call = Call {
            client: self,
            context,
            method,
            url,
            headers: HeaderMap::new(),
            body: None,
            patience: self.timeout,
            refused,
        };
        match self.token.header() {
            Ok(Some(value)) => drop(call.headers.insert(AUTHORIZATION, value)),
            Ok(None) => {}
            Err(_) => call.refuse("the token has characters that no token of nigari has"),
        }
        call
    }
}

impl Call<'_> {
    fn refuse(&mut self, why: &str) {
        self.refused.get_or_insert_with(|| self.context.error(ErrorKind::Refused(why.to_owned())));
    }

    /// Shows another token than the client's own.
    pub(super) fn bearer(mut self, token: &Secret) -> Self {
        match bearer(token) {
            Ok(value) => drop(self.headers.insert(AUTHORIZATION, value)),
            Err(_) => self.refuse("the token has characters that no token of nigari has"),
        }
        self
    }

    /// Adds `name=value` to the query.
    pub(super) fn query(mut self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.url.query_pairs_mut().append_pair(name, &value.to_string());
        self
    }

    /// Adds `name=value` to the query, if there is a value.
    pub(super) fn query_if(self, name: &str, value: Option<impl ToString>) -> Self {
        match value {
            Some(value) => self.query(name, &value),
            None => self,
        }
    }

    /// Adds a header.
    pub(super) fn header(mut self, name: &'static str, value: &(impl ToString + ?Sized)) -> Self {
        match HeaderValue::try_from(value.to_string()) {
            Ok(value) => drop(self.headers.insert(HeaderName::from_static(name), value)),
            Err(_) => self.refuse("a header of the request cannot be made"),
        }
        self
    }

    /// Waits that much longer for the answer: for long polls.
    pub(super) fn hold(mut self, hold: Duration) -> Self {
        self.patience = self.patience.saturating_add(hold);
        self
    }

    /// A JSON body; its buffer is wiped, because it may carry a secret.
    pub(super) fn json(mut self, body: &impl Serialize) -> Self {
        let mut buffer = Zeroizing::new(Vec::with_capacity(1024));
        match serde_json::to_writer(&mut *buffer, body) {
            Ok(()) => {
                self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                self.body = Some(Bytes::from_owner(buffer).into());
            }
            Err(_) => self.refuse("the request cannot be written as JSON"),
        }
        self
    }

    /// A body of bytes.
    pub(super) fn body(mut self, kind: &'static str, body: Bytes) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        self.patience += upload_time(body.len() as u64);
        self.body = Some(body.into());
        self
    }

    /// A body that may come from a file.
    pub(super) async fn upload(mut self, kind: &'static str, upload: Upload) -> Self {
        match upload.open().await {
            Ok((body, length)) => {
                self.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
                self.headers.insert(reqwest::header::CONTENT_LENGTH, HeaderValue::from(length));
                self.patience += upload_time(length);
                self.body = Some(body);
            }
            Err((path, error)) => {
                self.refused.get_or_insert_with(|| self.context.error(ErrorKind::File(path)).caused_by(error));
            }
        }
        self
    }

    /// Sends it; the answer's head must come in time.
    pub(super) async fn send(self) -> Result<Answer, ClientError> {
        if let Some(refused) = self.refused {
            return Err(refused);
        }
        let mut request = self.client.http.request(self.method, self.url).headers(self.headers);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let response = match tokio::time::timeout(self.patience, request.send()).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => return Err(named(self.client, self.context.transport(error)).await),
            Err(_) => return Err(self.context.error(ErrorKind::TimedOut)),
        };
        let patience = self.client.timeout;
        Ok(Answer { context: self.context, response, patience, began: BootInstant::now(), received: 0 })
    }
}

fn upload_time(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST_UPLOAD)
}

/// Adds the presented certificate to an error about its issuer or name.
async fn named(client: &Client, mut error: ClientError) -> ClientError {
    if let ErrorKind::Tls { failure: ConnectFailure::UnknownIssuer | ConnectFailure::WrongName, presented } =
        error.kind_mut()
    {
        let endpoint = client.server.endpoint();
        *presented = presented_certificate(endpoint.0, endpoint).await;
    }
    error
}
