//! Runs over HTTP: a person and an agent that is not one, at a real server.

mod artifacts;
mod aside;
mod audited;
mod claims;
mod configurations;
mod credentials;
mod decisions;
mod elsewhere;
pub(super) mod fake_agent;
mod finishes;
mod forged;
mod late_receipts;
mod logs;
mod replicas;
mod restart;
mod sealed;
mod stale;
mod state;
mod steps;
mod sweep;
mod whole;

use std::time::Duration;

use fake_agent::{FakeAgent, Held, planned_report};
use nigari::server::tasks;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{Answer, House};

/// Longer than a lease with its grace.
const A_LEASE: Duration = Duration::from_secs(100);

/// A `.tar.gz` with these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut directories = std::collections::BTreeSet::new();
    for (path, text) in files {
        for (at, _) in path.match_indices('/') {
            if directories.insert(&path[..at]) {
                let mut header = tar::Header::new_ustar();
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                header.set_mode(0o755);
                tar.append_data(&mut header, &path[..at], std::io::empty()).unwrap();
            }
        }
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

/// Makes a workspace and uploads a configuration; gives the configuration's id.
async fn prepare(house: &House, workspace: &str) -> String {
    house.post("/workspaces", json!({"name": workspace})).await.expect(201);
    upload(house, workspace, archive(&[("main.tf", "# empty\n")])).await.expect(201).field("id")
}

async fn upload(house: &House, workspace: &str, bytes: Vec<u8>) -> Answer {
    House::read(house.request(Method::POST, &format!("/workspaces/{workspace}/configurations")).body(bytes)).await
}

/// Makes a run; gives its id.
async fn make(house: &House, workspace: &str, configuration: &str, more: &Value) -> String {
    let mut body = json!({"configuration": configuration, "kind": "apply"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    house.post(&format!("/workspaces/{workspace}/runs"), body).await.expect(201).field("id")
}

/// A workspace `net`, a run in it, an agent that has claimed it.
pub(super) async fn claimed<'a>(house: &'a House, more: &Value) -> (FakeAgent<'a>, Held) {
    let configuration = prepare(house, "net").await;
    let run = make(house, "net", &configuration, more).await;
    let agent = FakeAgent::join(house).await;
    let held = agent.claim().await;
    assert_eq!(held.run, run);
    (agent, held)
}

/// The same, planned: it waits for approval.
pub(super) async fn planned(house: &House) -> (FakeAgent<'_>, Held) {
    let (agent, held) = claimed(house, &json!({})).await;
    agent.plan(&held).await;
    agent.upload_artifact(&held, b"the plan").await.expect(204);
    agent.finish(&held, &planned_report(&held, b"the plan")).await.expect(200);
    (agent, held)
}

/// The same, approved and claimed again, its apply started.
pub(super) async fn applying(house: &House) -> (FakeAgent<'_>, Held) {
    let (agent, held) = planned(house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let held = agent.claim().await;
    agent.step(&held, "init").await.expect(204);
    agent.step(&held, "apply").await.expect(204);
    (agent, held)
}

async fn state_of(house: &House, run: &str) -> String {
    house.get(&format!("/runs/{run}")).await.expect(200).field("state")
}

/// Lets every lease be over, whichever clock judges it.
pub(super) async fn expire_leases(house: &House) {
    house.sql("UPDATE runs SET lease_deadline = 1 WHERE state IN ('planning', 'applying')").await;
    // The server's own look may come first.
    tasks::lapse_overdue(&house.state).await.unwrap();
}

/// The same test on SQLite and on PostgreSQL.
async fn on_both(test: impl AsyncFn(&House)) {
    test(&House::start().await).await;
    let Some(database) = support::postgres::Database::new() else { return };
    let house = House::start_with(|settings| settings.database_url = Some(database.url().into())).await;
    test(&house).await;
    house.shutdown.cancel();
    house.state.store.close().await;
}
