//! The state: who may write it, and when.

use serde_json::json;

use super::fake_agent::{FakeAgent, report, state};
use super::{House, applying, claimed, expire_leases, prepare, state_of};

#[tokio::test]
async fn a_plan_reads_and_locks_but_never_writes() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    agent.get(&held, "state").await.expect(204);
    agent.lock(&held, "l1").await.expect(204);
    agent.lock(&held, "l1").await.expect(204);
    agent.write_state(&held, "l1", &state(1, "a")).await.expect_problem(409, "conflict");
    let refused = agent.lock(&held, "l2").await.expect(423);
    assert_eq!(refused.json()["ID"], "l1", "tofu shows who holds it");
    agent.post(&held, "state/unlock", &json!({"ID": "l2"})).await.expect(423);
    agent.post(&held, "state/unlock", &json!({"ID": "l1"})).await.expect(204);
    agent.post(&held, "state/unlock", &json!({"ID": "l1"})).await.expect(204);
}

#[tokio::test]
async fn an_apply_writes_with_its_lock_alone() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.write_state(&held, "l1", &state(1, "a")).await.expect_problem(409, "conflict");
    agent.lock(&held, "l1").await.expect(204);
    agent.write_state(&held, "l2", &state(1, "a")).await.expect_problem(423, "locked");
    agent.write_state(&held, "l1", &state(1, "a")).await.expect(204);
    agent.write_state(&held, "l1", &state(1, "a")).await.expect(204);
    assert_eq!(agent.get(&held, "state").await.expect(200).json()["serial"], 1);
    let versions = house.get("/workspaces/net/state/versions").await.expect(200).json();
    assert_eq!(versions["items"].as_array().unwrap().len(), 1, "the same bytes are no new version");
    assert_eq!(versions["items"][0]["run"], held.run);
}

#[tokio::test]
async fn a_state_goes_on_from_the_newest() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.lock(&held, "l").await.expect(204);
    agent.write_state(&held, "l", &state(5, "a")).await.expect(204);
    for (serial, lineage) in [(4, "a"), (6, "b")] {
        let refused = agent.write_state(&held, "l", &state(serial, lineage)).await.expect_problem(409, "conflict");
        assert!(refused.field("hint").contains("--force"), "{refused:?}");
    }
    let mut other = state(5, "a");
    other["outputs"] = json!({"x": {"value": 1}});
    agent.write_state(&held, "l", &other).await.expect_problem(409, "conflict");
    agent.write_state(&held, "l", &state(6, "a")).await.expect(204);
}

#[tokio::test]
async fn a_state_is_taken_from_a_lost_apply_that_holds_the_lock() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.lock(&held, "l").await.expect(204);
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    agent.write_state(&held, "l", &state(1, "a")).await.expect(204);
    agent.log(&held, 0, b"still here").await.expect(204);
    agent.post(&held, "state/unlock", &json!({"ID": "l"})).await.expect(204);
    agent.finish(&held, &report("applied")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "applied");
}

#[tokio::test]
async fn a_state_is_taken_even_after_the_run_was_resolved_unless_the_lock_is_gone() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.lock(&held, "l").await.expect(204);
    expire_leases(&house).await;
    let resolve = format!("/runs/{}/resolve", held.run);
    house.post(&resolve, json!({"resolved_as": "not_applied"})).await.expect(200);
    let refused = agent.write_state(&held, "l", &state(1, "a")).await.expect_problem(409, "conflict");
    assert!(refused.field("hint").contains("state push"), "{refused:?}");
    house.post("/workspaces/net/state/lock", json!({"ID": "mine", "Who": "a person"})).await.expect(204);
    agent.write_state(&held, "l", &state(1, "a")).await.expect_problem(423, "locked");
    agent.write_state(&held, "mine", &state(1, "a")).await.expect_problem(423, "locked");
}

#[tokio::test]
async fn the_lock_of_a_failed_apply_stays_until_a_person_frees_it() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.lock(&held, "l").await.expect(204);
    agent.finish(&held, &report("failed")).await.expect(200);
    let workspace = house.get("/workspaces/net").await.expect(200).json();
    assert_eq!(workspace["state_lock"]["ID"], "l");
    house.post("/workspaces/net/state/unlock", json!({"ID": "other"})).await.expect(423);
    house.post("/workspaces/net/state/unlock", json!({"ID": "l"})).await.expect(204);
    let audit = house.get("/audit?limit=500").await.json();
    assert!(audit["items"].as_array().unwrap().iter().any(|record| record["action"] == "state:unlock"));
}

#[tokio::test]
async fn people_pull_and_push() {
    let house = House::start().await;
    prepare(&house, "net").await;
    house.get("/workspaces/net/state").await.expect(204);
    let push = async |query: &str, text: String| {
        let path = format!("/workspaces/net/state{query}");
        House::read(house.request(reqwest::Method::POST, &path).body(text)).await
    };
    push("", state(3, "a").to_string()).await.expect(204);
    assert_eq!(house.get("/workspaces/net/state").await.expect(200).json(), state(3, "a"));
    push("", state(2, "a").to_string()).await.expect_problem(409, "conflict");
    push("", state(4, "b").to_string()).await.expect_problem(409, "conflict");
    push("?force=true", state(2, "b").to_string()).await.expect(204);
    assert_eq!(house.get("/workspaces/net/state").await.json()["serial"], 2);
    house.post("/workspaces/net/state/lock", json!({"ID": "l", "Who": "me"})).await.expect(204);
    let refused = push("", state(9, "b").to_string()).await.expect_problem(423, "locked");
    assert!(refused.field("detail").contains("me"), "{refused:?}");
    push("?lock=l", state(9, "b").to_string()).await.expect(204);
    for nonsense in
        ["", "{}", "[]", "{\"serial\":1}", "{\"serial\":-1,\"lineage\":\"a\"}", "{\"serial\":1,\"lineage\":\"\"}"]
    {
        push("?lock=l", nonsense.to_owned()).await.expect_problem(422, "invalid");
    }
    push("?lock=l&x=1", state(10, "b").to_string()).await.expect_problem(400, "malformed");
    house.get("/workspaces/nowhere/state").await.expect_problem(404, "not_found");
    house.post("/workspaces/net/state/lock", json!({"Who": "me"})).await.expect_problem(422, "invalid");
    let long = json!({"ID": "x", "Info": "x".repeat(5000)});
    house.post("/workspaces/net/state/lock", long).await.expect_problem(422, "invalid");
    let versions = house.get("/workspaces/net/state/versions").await.json();
    let serials: Vec<_> =
        versions["items"].as_array().unwrap().iter().map(|version| version["serial"].clone()).collect();
    assert_eq!(serials, [9, 2, 3]);
}

#[tokio::test]
async fn a_plans_lock_keeps_other_runs_of_the_workspace_out() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({"kind": "plan"})).await;
    agent.lock(&held, "l1").await.expect(204);
    let configuration = house.get(&format!("/runs/{}", held.run)).await.field("configuration");
    super::make(&house, "net", &configuration, &json!({})).await;
    let second = FakeAgent::join(&house).await;
    let other = second.claim().await;
    assert_eq!(second.lock(&other, "l1").await.expect(423).json()["Who"], "fake");
    agent.finish(&held, &report("failed")).await.expect(200);
    second.lock(&other, "l2").await.expect(204);
}

#[tokio::test]
async fn a_state_that_is_kept_elsewhere_is_not_pulled_here() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    let mut elsewhere = report("no_changes");
    elsewhere["backend"] = json!("s3");
    agent.finish(&held, &elsewhere).await.expect(200);
    let refused = house.get("/workspaces/net/state").await.expect_problem(409, "conflict");
    assert!(refused.field("detail").contains("`s3`"), "{refused:?}");
}
