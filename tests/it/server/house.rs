//! A server of a test's own: temporary directory, SQLite, free port; ends with the test.

use std::path::Path;
use std::time::Duration;

use nigari::clock::Clock;
use nigari::protocol::API;
use nigari::server::Server;
use nigari::server::api::ServerState;
use nigari::settings::server::ServerSettings;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

/// A running server.
pub(crate) struct House {
    /// Its state directory.
    pub(crate) directory: TempDir,
    /// Its parts.
    pub(crate) state: ServerState,
    /// Its clock: `advance` makes things expire.
    pub(crate) clock: Clock,
    /// The text of `admin.token`.
    pub(crate) admin: String,
    /// The text of `join.token`.
    pub(crate) join: String,
    /// `http://127.0.0.1:<port>`.
    pub(crate) origin: String,
    /// Ends the server.
    pub(crate) shutdown: CancellationToken,
    client: reqwest::Client,
    _ends: DropGuard,
}

/// What the server said.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: reqwest::header::HeaderMap,
    /// Its body as text.
    pub(crate) text: String,
}

impl Answer {
    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// One member of its body, as text.
    pub(crate) fn field(&self, name: &str) -> String {
        match &self.json()[name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// Panics unless the status is this one.
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self
    }

    /// Panics unless it is a problem with this status and code, and everything that problems have.
    pub(crate) fn expect_problem(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        assert_eq!(answer.field("code"), code, "{answer:?}");
        assert_eq!(answer.field("status"), status.to_string(), "{answer:?}");
        assert_eq!(answer.headers["content-type"], "application/problem+json", "{answer:?}");
        assert_eq!(answer.headers["x-request-id"].to_str().unwrap(), answer.field("request_id"), "{answer:?}");
        answer
    }
}

/// Settings of a server in this directory, on a free port.
pub(crate) fn settings(directory: &Path) -> ServerSettings {
    ServerSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        state_directory: directory.to_owned(),
        hold: Duration::from_secs(2),
        ..ServerSettings::default()
    }
}

impl House {
    /// A fresh server.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// A fresh server with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut ServerSettings)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), change).await
    }

    /// The same, in this state directory.
    pub(crate) async fn start_in(directory: TempDir, change: impl FnOnce(&mut ServerSettings)) -> Self {
        nigari::tls::install_provider();
        let mut settings = settings(directory.path());
        change(&mut settings);
        let clock = Clock::new();
        let server = Server::bind_with_clock(settings, clock.clone()).await.unwrap();
        let token = |name| std::fs::read_to_string(directory.path().join(name)).unwrap().trim().to_owned();
        let (admin, join) = (token("admin.token"), token("join.token"));
        let (state, origin) = (server.state(), format!("http://{}", server.address()));
        let shutdown = CancellationToken::new();
        tokio::spawn(server.run(shutdown.clone()));
        let client = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(30)).build().unwrap();
        Self { directory, state, clock, admin, join, origin, client, _ends: shutdown.clone().drop_guard(), shutdown }
    }

    /// Sends a request; `path` is below the API's prefix, or begins at the top when it starts with `//`.
    pub(crate) async fn send(&self, method: Method, path: &str, token: &str, body: Option<&Value>) -> Answer {
        let url = match path.strip_prefix("//") {
            Some(path) => format!("{}/{path}", self.origin),
            None => format!("{}{API}{path}", self.origin),
        };
        let mut request = self.client.request(method, url);
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        Self::read(request).await
    }

    /// Sends a request that the caller builds.
    pub(crate) async fn read(request: reqwest::RequestBuilder) -> Answer {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        Answer { status, headers, text: response.text().await.unwrap() }
    }

    /// Changes the database behind the server's back.
    pub(crate) async fn sql(&self, statement: &str) {
        let mut transaction = self.state.store.begin_write().await.unwrap();
        let statement = sqlx::query(sqlx::AssertSqlSafe(statement.to_owned()));
        statement.execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    /// For requests that the caller builds.
    pub(crate) fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}{API}{path}", self.origin)).bearer_auth(&self.admin)
    }

    /// The same with the whole path, and another token.
    pub(crate) fn request_to(&self, method: Method, path: &str, token: &str) -> reqwest::RequestBuilder {
        self.client.request(method, format!("{}/{}", self.origin, path.trim_start_matches('/'))).bearer_auth(token)
    }

    /// `GET` as the administrator.
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &self.admin, None).await
    }

    /// `POST` as the administrator.
    pub(crate) async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &self.admin, Some(&body)).await
    }

    /// `PUT` as the administrator.
    pub(crate) async fn put(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PUT, path, &self.admin, Some(&body)).await
    }

    /// `PATCH` as the administrator.
    pub(crate) async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, &self.admin, Some(&body)).await
    }

    /// `DELETE` as the administrator.
    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Method::DELETE, path, &self.admin, None).await
    }
}
