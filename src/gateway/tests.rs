//! The door against a scripted store: what tofu may do, when, and what it never hears.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, Response};

use super::{Gateway, Patience, StateStore, StoreError};
use crate::protocol::api::StateLock;

/// Answers from a script, then with success; remembers what was asked.
#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<StoreError>>>,
    asked: Arc<Mutex<Vec<String>>>,
    state: Arc<Mutex<Option<Bytes>>>,
}

impl Script {
    fn failing(errors: impl IntoIterator<Item = StoreError>) -> Self {
        Self { answers: Arc::new(Mutex::new(errors.into_iter().collect())), ..Self::default() }
    }

    fn answer(&self, what: String) -> Result<(), StoreError> {
        self.asked.lock().unwrap().push(what);
        self.answers.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl StateStore for Script {
    async fn read(&self) -> Result<Option<Bytes>, StoreError> {
        self.answer("read".into()).map(|()| self.state.lock().unwrap().clone())
    }

    async fn write(&self, lock: Option<&str>, state: Bytes) -> Result<(), StoreError> {
        self.answer(format!("write {}", lock.unwrap_or("-")))?;
        *self.state.lock().unwrap() = Some(state);
        Ok(())
    }

    async fn lock(&self, lock: Bytes) -> Result<(), StoreError> {
        self.answer(format!("lock {}", id(&lock)))
    }

    async fn unlock(&self, lock: Bytes) -> Result<(), StoreError> {
        self.answer(format!("unlock {}", id(&lock)))
    }
}

fn id(lock: &[u8]) -> String {
    serde_json::from_slice::<StateLock>(lock).unwrap().id
}

fn held(holder: &StateLock) -> StoreError {
    StoreError::Locked(serde_json::to_vec(holder).unwrap().into())
}

struct Tofu {
    gateway: Gateway,
    client: reqwest::Client,
    notes: Arc<Mutex<Vec<String>>>,
}

impl Tofu {
    async fn at(script: &Script) -> Self {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&notes);
        let patience = Patience { request: Duration::from_secs(5), write: Duration::from_secs(5) };
        let notes_for_door: super::Notes = Arc::new(move |note: &str| kept.lock().unwrap().push(note.to_owned()));
        let gateway = Gateway::open(script.clone(), patience, notes_for_door).await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { gateway, client, notes }
    }

    fn variable(&self, name: &str) -> String {
        let environment = self.gateway.environment();
        environment.iter().find(|(known, _)| known == name).unwrap().1.expose().to_owned()
    }

    async fn ask(&self, method: Method, variable: &str, suffix: &str, body: &str) -> Response {
        let url = format!("{}{suffix}", self.variable(variable));
        let request = self.client.request(method, url);
        let user = self.variable("TF_HTTP_USERNAME");
        let password = self.variable("TF_HTTP_PASSWORD");
        request.basic_auth(user, Some(password)).body(body.to_owned()).send().await.unwrap()
    }

    async fn status(&self, method: Method, variable: &str, suffix: &str, body: &str) -> u16 {
        self.ask(method, variable, suffix, body).await.status().as_u16()
    }
}

const LOCK: &str = r#"{"ID":"l-1","Operation":"OperationTypePlan","Who":"me@here"}"#;

fn away() -> StoreError {
    StoreError::Away("connection refused".into())
}

#[tokio::test]
async fn a_plan_reads_and_locks_but_does_not_write() {
    let script = Script::default();
    let tofu = Tofu::at(&script).await;
    assert_eq!(tofu.status(Method::GET, "TF_HTTP_ADDRESS", "", "").await, 204);
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_LOCK_ADDRESS", "", LOCK).await, 200);
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_UNLOCK_ADDRESS", "", LOCK).await, 200);
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_ADDRESS", "?ID=l-1", "{}").await, 403);
    assert_eq!(script.asked(), ["read", "lock l-1", "unlock l-1"]);
}

#[tokio::test]
async fn a_reported_apply_writes_under_its_lock() {
    let script = Script::default();
    let tofu = Tofu::at(&script).await;
    tofu.gateway.allow_writes();
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_ADDRESS", "?ID=l-1", "{\"serial\":1}").await, 200);
    let read = tofu.ask(Method::GET, "TF_HTTP_ADDRESS", "", "").await;
    assert!(read.headers().contains_key("content-md5"));
    assert_eq!(read.text().await.unwrap(), "{\"serial\":1}");
    assert_eq!(script.asked(), ["write l-1", "read"]);
}

#[tokio::test]
async fn nobody_gets_in_without_the_nonce() {
    let script = Script::default();
    let tofu = Tofu::at(&script).await;
    let url = tofu.variable("TF_HTTP_ADDRESS");
    assert_eq!(tofu.client.get(&url).send().await.unwrap().status(), 401);
    let wrong = tofu.client.get(&url).basic_auth("run", Some("0".repeat(64))).send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let lock = tofu.variable("TF_HTTP_LOCK_ADDRESS");
    assert_eq!(tofu.client.post(&lock).body(LOCK).send().await.unwrap().status(), 401);
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn a_held_lock_is_answered_with_its_holder() {
    let holder = StateLock { id: "other".into(), who: "run-1".into(), ..StateLock::default() };
    let tofu = Tofu::at(&Script::failing([held(&holder)])).await;
    let answer = tofu.ask(Method::POST, "TF_HTTP_LOCK_ADDRESS", "", LOCK).await;
    assert_eq!(answer.status(), 423);
    assert_eq!(answer.json::<StateLock>().await.unwrap().id, "other");
}

#[tokio::test]
async fn a_repeated_lock_that_finds_itself_is_ours() {
    let holder = StateLock { id: "l-1".into(), ..StateLock::default() };
    let tofu = Tofu::at(&Script::failing([away(), held(&holder)])).await;
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_LOCK_ADDRESS", "", LOCK).await, 200);
}

#[tokio::test]
async fn a_write_waits_for_a_server_that_is_away_and_says_so() {
    let script = Script::failing([away(), away()]);
    let tofu = Tofu::at(&script).await;
    tofu.gateway.allow_writes();
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_ADDRESS", "?ID=l", "{}").await, 200);
    assert_eq!(script.asked().len(), 3);
    assert_eq!(tofu.notes.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_refused_read_is_never_an_empty_state() {
    let tofu = Tofu::at(&Script::failing([StoreError::Refused("404 not_found".into())])).await;
    let status = tofu.status(Method::GET, "TF_HTTP_ADDRESS", "", "").await;
    assert!(![200, 204, 404].contains(&status), "{status}");
}

#[tokio::test]
async fn a_body_that_its_sum_does_not_know_is_refused() {
    let script = Script::default();
    let tofu = Tofu::at(&script).await;
    tofu.gateway.allow_writes();
    let request = tofu.client.post(tofu.variable("TF_HTTP_ADDRESS"));
    let request = request.basic_auth("run", Some(tofu.variable("TF_HTTP_PASSWORD")));
    let answer = request.header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==").body("{}").send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(script.asked().is_empty());
}

#[tokio::test]
async fn other_methods_and_paths_are_refused_and_never_404() {
    let tofu = Tofu::at(&Script::default()).await;
    assert_eq!(tofu.status(Method::DELETE, "TF_HTTP_ADDRESS", "", "").await, 405);
    assert_eq!(tofu.status(Method::GET, "TF_HTTP_ADDRESS", "/../../api", "").await, 400);
    assert_eq!(tofu.status(Method::POST, "TF_HTTP_LOCK_ADDRESS", "", "not json").await, 400);
}

#[tokio::test]
async fn the_door_dies_with_its_run() {
    let Tofu { gateway, client, .. } = Tofu::at(&Script::default()).await;
    let url = gateway.environment().into_iter().find(|(name, _)| name == "TF_HTTP_ADDRESS").unwrap().1;
    drop(gateway);
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(client.get(url.expose()).send().await.is_err());
}
