//! A small HTTP server that answers from a script and remembers what it was asked.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use nigari::client::{AgentClient, Client, ClientOptions, TokenSource};
use nigari::secret::Secret;
use tokio::net::{TcpListener, TcpStream};

/// The token of every client here.
pub(super) const TOKEN: &str = "ngr_user_0123_geheimgeheim";

/// A request as it came.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

#[derive(Clone)]
struct Script {
    answers: Arc<Mutex<VecDeque<Response>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// The server.
pub(super) struct House {
    port: u16,
    script: Script,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

/// Counts connections.
struct Counting(TcpListener, Arc<AtomicUsize>);

impl axum::serve::Listener for Counting {
    type Io = TcpStream;
    type Addr = std::net::SocketAddr;

    async fn accept(&mut self) -> (TcpStream, Self::Addr) {
        loop {
            if let Ok(found) = self.0.accept().await {
                self.1.fetch_add(1, Ordering::SeqCst);
                return found;
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.0.local_addr()
    }
}

impl House {
    /// Gives these answers in order; the last one again and again is not given: then it is a 418 page.
    pub(super) async fn start(answers: impl IntoIterator<Item = Response>) -> Self {
        let script = Script { answers: Arc::new(Mutex::new(answers.into_iter().collect())), asked: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let listener = Counting(listener, Arc::clone(&connections));
        let router = Router::new().fallback(serve).with_state(script.clone());
        let task = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { port, script, connections, task }
    }

    pub(super) fn client(&self) -> Client {
        let options = ClientOptions { timeout: Duration::from_millis(1500), ..ClientOptions::default() };
        Client::new(self.url().parse().unwrap(), TokenSource::fixed(Secret::from(TOKEN)), options).unwrap()
    }

    pub(super) fn agent(&self) -> AgentClient {
        AgentClient::new(self.client())
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn asked(&self) -> Vec<Asked> {
        self.script.asked.lock().unwrap().clone()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

impl Drop for House {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(State(script): State<Script>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    script.asked.lock().unwrap().push(Asked {
        method: parts.method.to_string(),
        target: parts.uri.to_string(),
        headers: parts.headers,
        body,
    });
    let next = script.answers.lock().unwrap().pop_front();
    next.unwrap_or_else(|| answer(418, &[("content-type", "text/html")], "the script is over"))
}

/// An answer.
pub(super) fn answer(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Response {
    let mut builder = Response::builder().status(status);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

/// A JSON answer as the server gives it.
pub(super) fn json(status: u16, body: &str) -> Response {
    answer(status, &[("content-type", "application/json"), ("x-request-id", "r")], body.to_owned())
}

/// An empty answer as the server gives it.
pub(super) fn empty() -> Response {
    answer(204, &[("x-request-id", "r")], "")
}

/// A problem.
pub(super) fn problem(status: u16, code: &str, more: &str) -> Response {
    let body = format!(r#"{{"title":"Title","status":{status},"code":"{code}","detail":"what happened"{more}}}"#);
    answer(status, &[("content-type", "application/problem+json"), ("x-request-id", "r")], body)
}

/// Who one is.
pub(super) const WHOAMI: &str = r#"{"name":"a","kind":"user","token":"tok-0199aaaaaaaa7aaaaaaaaaaaaaaaaaaa","role":"admin","server_version":"1","news":1}"#;
