//! An agent's side of the protocol, without doing anything.

use nigari::protocol::id::{ClaimId, RequestId};
use nigari::protocol::{API, DIGEST_HEADER, EPOCH_HEADER, OFFSET_HEADER};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::server::house::{Answer, House};

/// An agent in a session.
pub(in crate::server) struct FakeAgent<'a> {
    pub(in crate::server) house: &'a House,
    pub(in crate::server) session: String,
    pub(in crate::server) id: String,
    client: reqwest::Client,
}

/// A claim as it was granted.
#[derive(Debug, Clone)]
pub(in crate::server) struct Held {
    pub(in crate::server) run: String,
    pub(in crate::server) epoch: i64,
    pub(in crate::server) phase: String,
    pub(in crate::server) claim: String,
    pub(in crate::server) all: Value,
}

impl<'a> FakeAgent<'a> {
    /// A new agent in the pool `default`.
    pub(in crate::server) async fn join(house: &'a House) -> Self {
        Self::join_with(house, "/run/nigari").await
    }

    /// The same, with its run directories elsewhere.
    pub(in crate::server) async fn join_with(house: &'a House, run_root: &str) -> Self {
        let request = json!({
            "protocol_min": 1, "protocol_max": 1, "name": "fake", "version": "0", "concurrency": 1,
            "tofu_version": "1.12.6", "run_root": run_root,
        });
        let answer = house.send(Method::POST, "/agent/session", &house.join, Some(&request)).await.expect(200);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { house, session: answer.field("session"), id: answer.field("agent"), client }
    }

    /// A request with the session's token.
    pub(in crate::server) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{API}/agent{path}", self.house.origin)).bearer_auth(&self.session)
    }

    /// A request about a run, with the epoch.
    pub(in crate::server) fn of_run(&self, held: &Held, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/runs/{}/{path}", held.run)).header(EPOCH_HEADER, held.epoch)
    }

    pub(in crate::server) async fn post(&self, held: &Held, path: &str, body: &Value) -> Answer {
        House::read(self.of_run(held, Method::POST, path).json(body)).await
    }

    pub(in crate::server) async fn get(&self, held: &Held, path: &str) -> Answer {
        House::read(self.of_run(held, Method::GET, path)).await
    }

    /// Asks for a phase under this id.
    pub(in crate::server) async fn ask(&self, claim: &str, hold_seconds: u64) -> Answer {
        let body = json!({"claim": claim, "hold_seconds": hold_seconds});
        House::read(self.request(Method::POST, "/claims").json(&body)).await
    }

    /// Takes the phase that there is.
    pub(in crate::server) async fn claim(&self) -> Held {
        let claim = ClaimId::generate().to_string();
        Held::of(&self.ask(&claim, 0).await.expect(200))
    }

    pub(in crate::server) async fn step(&self, held: &Held, step: &str) -> Answer {
        let body = json!({"request": RequestId::generate().to_string()});
        self.post(held, &format!("steps/{step}"), &body).await
    }

    /// Reports all steps of a plan.
    pub(in crate::server) async fn plan(&self, held: &Held) {
        for step in ["fetch", "init", "plan", "show"] {
            self.step(held, step).await.expect(204);
        }
    }

    pub(in crate::server) async fn credentials(&self, held: &Held, request: &str) -> Answer {
        self.post(held, "credentials", &json!({"request": request})).await
    }

    /// For a delivery that was asked for.
    pub(in crate::server) async fn credentials_by(&self, held: &Held, request: &str, delivery: &str) -> Answer {
        self.post(held, "credentials", &json!({"request": request, "delivery": delivery})).await
    }

    pub(in crate::server) async fn log(&self, held: &Held, offset: u64, bytes: &[u8]) -> Answer {
        let request = self.of_run(held, Method::PATCH, &format!("log/{}", held.phase));
        House::read(request.header(OFFSET_HEADER, offset).body(bytes.to_vec())).await
    }

    pub(in crate::server) async fn upload_artifact(&self, held: &Held, bytes: &[u8]) -> Answer {
        let request = self.of_run(held, Method::PUT, "artifact");
        House::read(request.header(DIGEST_HEADER, digest(bytes)).body(bytes.to_vec())).await
    }

    pub(in crate::server) async fn lock(&self, held: &Held, id: &str) -> Answer {
        self.post(held, "state/lock", &json!({"ID": id, "Who": "fake"})).await
    }

    pub(in crate::server) async fn write_state(&self, held: &Held, lock: &str, state: &Value) -> Answer {
        let request = self.of_run(held, Method::POST, &format!("state?lock={lock}"));
        House::read(request.body(state.to_string())).await
    }

    pub(in crate::server) async fn finish(&self, held: &Held, report: &Value) -> Answer {
        self.post(held, "finish", report).await
    }
}

/// The report of a plan with changes that waits for approval.
pub(in crate::server) fn planned_report(held: &Held, artifact: &[u8]) -> Value {
    let directory = format!("/run/nigari/{}", held.run);
    let mut report = report("planned");
    report["artifact_digest"] = json!(digest(artifact));
    report["run_directory"] = json!(directory);
    report["plan"] = json!({"add": 1, "change": 2, "destroy": 3, "import": 0, "outputs": 1});
    report
}

impl Held {
    pub(in crate::server) fn of(answer: &Answer) -> Self {
        let all = answer.json();
        let text = |name: &str| all[name].as_str().unwrap().to_owned();
        let epoch = all["epoch"].as_i64().unwrap();
        Self { run: text("run"), epoch, phase: text("phase"), claim: text("claim"), all }
    }
}

/// A report of a phase's end, with a receipt.
pub(in crate::server) fn report(outcome: &str) -> Value {
    let mut report = json!({
        "request": RequestId::generate().to_string(),
        "outcome": outcome,
        "log_bytes": 0,
        "backend": "nigari",
        "receipt": {
            "delivery": "file", "sandbox": "process", "meaning": "m", "hosts": ["ghcr.io/acme"], "began_at": 1,
            "ended_at": 2, "end": "step_over", "wiped": true, "verified_by": "a look", "modules": ["m: oci://x"],
        },
    });
    if outcome == "failed" {
        report["failure"] = json!({"class": "configuration", "message": "Error: it's \"broken\"", "step": "init"});
    }
    report
}

pub(in crate::server) fn digest(bytes: &[u8]) -> String {
    hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes))
}

/// A state of this serial.
pub(in crate::server) fn state(serial: i64, lineage: &str) -> Value {
    json!({"version": 4, "terraform_version": "1.12.6", "serial": serial, "lineage": lineage, "outputs": {}})
}
