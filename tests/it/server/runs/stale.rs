//! A stale epoch gets nothing on any route.

use nigari::protocol::id::RequestId;
use nigari::protocol::{DIGEST_HEADER, OFFSET_HEADER};
use nigari::server::api::{Audience, routes};
use reqwest::{Method, RequestBuilder};
use serde_json::json;

use super::fake_agent::{FakeAgent, Held, digest, report, state};
use super::{House, claimed, expire_leases, prepare, state_of};

/// A request to each route of a run that the agent would send.
fn requests(agent: &FakeAgent<'_>, held: &Held) -> Vec<(&'static str, RequestBuilder)> {
    let request = json!({"request": RequestId::generate().to_string()});
    let of = |method, path| agent.of_run(held, method, path);
    vec![
        ("POST renew", of(Method::POST, "renew")),
        ("GET configuration", of(Method::GET, "configuration")),
        ("POST steps/{step}", of(Method::POST, "steps/init").json(&request)),
        ("POST credentials", of(Method::POST, "credentials").json(&request)),
        ("PATCH log/{phase}", of(Method::PATCH, "log/plan").header(OFFSET_HEADER, 0).body("x")),
        ("PUT artifact", of(Method::PUT, "artifact").header(DIGEST_HEADER, digest(b"x")).body("x")),
        ("GET artifact", of(Method::GET, "artifact")),
        ("GET state", of(Method::GET, "state")),
        ("POST state", of(Method::POST, "state?lock=l").body(state(1, "a").to_string())),
        ("POST state/lock", of(Method::POST, "state/lock").json(&json!({"ID": "l"}))),
        ("POST state/unlock", of(Method::POST, "state/unlock").json(&json!({"ID": "l"}))),
        ("POST finish", of(Method::POST, "finish").json(&report("failed"))),
    ]
}

/// What every such request is answered with.
async fn expect_all(agent: &FakeAgent<'_>, held: &Held, status: u16, code: &str) {
    for (route, request) in requests(agent, held) {
        let answer = House::read(request).await;
        assert_eq!((answer.status.as_u16(), answer.field("code").as_str()), (status, code), "{route}: {answer:?}");
    }
}

#[test]
fn every_route_of_a_run_is_in_the_list() {
    let all = routes();
    let of_runs = all
        .list()
        .iter()
        .filter(|route| route.audience == Audience::Session && route.path.starts_with("/api/v1/agent/runs/{run}/"))
        // These tell of a claim that may be over for long.
        .filter(|route| !route.path.ends_with("/kept-state") && !route.path.ends_with("/receipts/{phase}"));
    let mut known: Vec<String> = of_runs
        .map(|route| format!("{} {}", route.method, route.path.trim_start_matches("/api/v1/agent/runs/{run}/")))
        .collect();
    known.sort();
    let mut tried = vec![
        "POST renew",
        "GET configuration",
        "POST steps/{step}",
        "POST credentials",
        "PATCH log/{phase}",
        "PUT artifact",
        "GET artifact",
        "GET state",
        "POST state",
        "POST state/lock",
        "POST state/unlock",
        "POST finish",
    ];
    tried.sort_unstable();
    assert_eq!(known, tried, "a new route needs a request above");
}

#[tokio::test]
async fn another_epoch_gets_nothing_on_any_route() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    for epoch in [0, 2, -1, i64::MAX] {
        expect_all(&agent, &Held { epoch, ..held.clone() }, 409, "stale_epoch").await;
    }
    agent.step(&held, "fetch").await.expect(204);
}

#[tokio::test]
async fn another_agent_gets_nothing_with_the_right_epoch() {
    let house = House::start().await;
    let (_, held) = claimed(&house, &json!({})).await;
    let thief = FakeAgent::join(&house).await;
    expect_all(&thief, &held, 409, "stale_epoch").await;
}

#[tokio::test]
async fn a_run_that_is_not_there_is_not_found() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let run = nigari::protocol::id::RunId::generate().to_string();
    expect_all(&agent, &Held { run, ..held.clone() }, 404, "not_found").await;
    expect_all(&agent, &Held { run: "../../etc".to_owned(), ..held }, 404, "not_found").await;
}

#[tokio::test]
async fn a_claim_that_was_lost_and_given_to_another_gets_nothing_and_its_report_is_evidence() {
    let house = House::start().await;
    let (first, lost) = claimed(&house, &json!({})).await;
    first.step(&lost, "fetch").await.expect(204);
    expire_leases(&house).await;
    let second = FakeAgent::join(&house).await;
    let held = second.claim().await;
    assert_eq!((held.run.as_str(), held.epoch), (lost.run.as_str(), 2));
    expect_all(&first, &lost, 409, "stale_epoch").await;
    let receipts = house.get(&format!("/runs/{}/receipts", lost.run)).await.expect(200).json();
    assert_eq!(receipts["items"][0]["epoch"], 1, "what became of its delivery is kept");
    assert_eq!(state_of(&house, &lost.run).await, "planning", "its report changed nothing");
    second.plan(&held).await;
    second.finish(&held, &report("no_changes")).await.expect(200);
    assert_eq!(state_of(&house, &lost.run).await, "no_changes");
}

#[tokio::test]
async fn the_epoch_header_is_demanded() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    for epoch in ["", "x", "1.5", "99999999999999999999"] {
        let request = agent.request(Method::POST, &format!("/runs/{}/renew", held.run)).header("nigari-epoch", epoch);
        House::read(request).await.expect_problem(400, "malformed");
    }
    let request = agent.request(Method::POST, &format!("/runs/{}/renew", held.run));
    House::read(request).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn a_run_of_another_pool_does_not_exist_for_an_agent() {
    let house = House::start().await;
    let (_, held) = claimed(&house, &json!({})).await;
    prepare(&house, "other").await;
    let pool =
        nigari::protocol::api::AgentPool { id: nigari::protocol::id::PoolId::generate(), name: "elsewhere".to_owned() };
    let mut transaction = house.state.store.begin_write().await.unwrap();
    nigari::server::store::agents::insert_pool(&mut transaction, &pool, 1).await.unwrap();
    transaction.commit().await.unwrap();
    let join = house.post("/join-tokens", json!({"name": "j", "pool": "elsewhere"})).await.expect(201).field("text");
    let body = json!({
        "protocol_min": 1, "protocol_max": 1, "name": "b", "version": "0", "concurrency": 1,
        "tofu_version": "1.12.6", "run_root": "/run/nigari",
    });
    let session = house.send(Method::POST, "/agent/session", &join, Some(&body)).await.expect(200).field("session");
    let mut foreign = FakeAgent::join(&house).await;
    foreign.session = session;
    expect_all(&foreign, &held, 404, "not_found").await;
    foreign.ask(&nigari::protocol::id::ClaimId::generate().to_string(), 0).await.expect(204);
}
