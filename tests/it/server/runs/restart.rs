//! The server goes down in the middle of a run and comes back.

use nigari::clock::Clock;
use nigari::protocol::API;
use nigari::protocol::EPOCH_HEADER;
use nigari::server::Server;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::fake_agent::{report, state};
use crate::server::house::settings;

struct Up {
    origin: String,
    shutdown: CancellationToken,
    ended: tokio::task::JoinHandle<()>,
}

async fn start(directory: &std::path::Path, clock: &Clock) -> Up {
    let server = Server::bind_with_clock(settings(directory), clock.clone()).await.unwrap();
    let origin = format!("http://{}", server.address());
    let shutdown = CancellationToken::new();
    let token = shutdown.clone();
    let ended = tokio::spawn(async move { server.run(token).await.unwrap() });
    Up { origin, shutdown, ended }
}

impl Up {
    async fn stop(self) {
        self.shutdown.cancel();
        self.ended.await.unwrap();
    }

    async fn ask(&self, method: Method, path: &str, token: &str, epoch: i64, body: &Value) -> (StatusCode, Value) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.request(method, format!("{}{API}{path}", self.origin));
        let response = request.bearer_auth(token).header(EPOCH_HEADER, epoch).json(body).send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or_default())
    }
}

#[tokio::test]
async fn a_run_survives_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let clock = Clock::new();
    let up = start(directory.path(), &clock).await;
    let read = |name| std::fs::read_to_string(directory.path().join(name)).unwrap().trim().to_owned();
    let (admin, join) = (read("admin.token"), read("join.token"));
    up.ask(Method::POST, "/workspaces", &admin, 0, &json!({"name": "net", "auto_apply": true})).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let upload = client.post(format!("{}{API}/workspaces/net/configurations", up.origin)).bearer_auth(&admin);
    let uploaded = upload.body(super::archive(&[("main.tf", "")])).send().await.unwrap();
    let configuration: Value = uploaded.json().await.unwrap();
    let new = json!({"configuration": configuration["id"], "kind": "apply"});
    let (_, run) = up.ask(Method::POST, "/workspaces/net/runs", &admin, 0, &new).await;
    let session = json!({
        "protocol_min": 1, "protocol_max": 1, "name": "a", "version": "0", "concurrency": 1,
        "tofu_version": "1.12.6", "run_root": "/run/nigari",
    });
    let (_, session) = up.ask(Method::POST, "/agent/session", &join, 0, &session).await;
    let agent = session["session"].as_str().unwrap();
    let claim = json!({"claim": nigari::protocol::id::ClaimId::generate().to_string(), "hold_seconds": 0});
    let (_, claimed) = up.ask(Method::POST, "/agent/claims", agent, 0, &claim).await;
    let of_run = format!("/agent/runs/{}", run["id"].as_str().unwrap());
    let request = || json!({"request": nigari::protocol::id::RequestId::generate().to_string()});
    for step in ["fetch", "init", "plan", "show"] {
        let (status, answer) = up.ask(Method::POST, &format!("{of_run}/steps/{step}"), agent, 1, &request()).await;
        assert_eq!(status, 204, "{answer}");
    }

    // Down for longer than the lease: nobody could renew, so nobody is robbed.
    up.stop().await;
    clock.advance(super::A_LEASE);
    let up = start(directory.path(), &clock).await;
    let (status, again) = up.ask(Method::POST, "/agent/claims", agent, 0, &claim).await;
    assert_eq!((status.as_u16(), &again), (200, &claimed), "a repeated claim is the same");
    let planned = report("planned");
    let (_, answer) = up.ask(Method::POST, &format!("{of_run}/finish"), agent, 1, &planned).await;
    assert_eq!(answer["next"], "apply_now");
    let (status, answer) = up.ask(Method::POST, &format!("{of_run}/steps/apply"), agent, 1, &request()).await;
    assert_eq!(status, 204, "{answer}");
    up.ask(Method::POST, &format!("{of_run}/state/lock"), agent, 1, &json!({"ID": "l"})).await;

    up.stop().await;
    clock.advance(super::A_LEASE);
    let up = start(directory.path(), &clock).await;
    let (status, answer) = up.ask(Method::POST, &format!("{of_run}/state?lock=l"), agent, 1, &state(1, "a")).await;
    assert_eq!(status, 204, "{answer}");
    let (_, answer) = up.ask(Method::POST, &format!("{of_run}/finish"), agent, 1, &planned).await;
    assert_eq!(answer["next"], "apply_now", "what was answered is answered again");
    let (status, answer) = up.ask(Method::POST, &format!("{of_run}/finish"), agent, 1, &report("applied")).await;
    assert_eq!(status, 200, "{answer}");
    let (_, shown) =
        up.ask(Method::GET, &format!("/runs/{}", run["id"].as_str().unwrap()), &admin, 0, &json!({})).await;
    assert_eq!(shown["state"], "applied");
    up.stop().await;
}
