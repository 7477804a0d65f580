//! What is offered to which agent, what a run waits for, and agents that are silent or gone.

use std::time::Duration;

use nigari::protocol::id::ClaimId;
use reqwest::Method;
use serde_json::json;

use super::fake_agent::FakeAgent;
use super::{House, applying, claimed, make, planned, prepare, state_of};

async fn asked(agent: &FakeAgent<'_>) -> u16 {
    agent.ask(&ClaimId::generate().to_string(), 0).await.status.as_u16()
}

#[tokio::test]
async fn an_apply_is_offered_only_to_an_agent_that_has_its_path_on_sqlite() {
    offered(&House::start().await).await;
}

#[tokio::test]
async fn an_apply_is_offered_only_to_an_agent_that_has_its_path_on_postgresql() {
    let Some(database) = support::postgres::Database::new() else { return };
    let url = Some(database.url().into());
    offered(&House::start_with(|settings| settings.database_url = url).await).await;
}

async fn offered(house: &House) {
    let (agent, held) = planned(house).await;
    let elsewhere = FakeAgent::join_with(house, "/elsewhere").await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    assert_eq!(asked(&elsewhere).await, 204);
    let run = house.get(&format!("/runs/{}", held.run)).await;
    let waits_for = run.field("waits_for");
    assert!(waits_for.contains("`/run/nigari`") && waits_for.contains("`fake`"), "{waits_for}");
    // Other work is not held up by it.
    let configuration = prepare(house, "other").await;
    let other = make(house, "other", &configuration, &json!({})).await;
    assert_eq!(elsewhere.claim().await.run, other);
    house.delete(&format!("/agents/{}", agent.id)).await.expect(204);
    let waits_for = house.get(&format!("/runs/{}", held.run)).await.field("waits_for");
    assert!(waits_for.contains("none of the pool has it"), "{waits_for}");
    let same_path = FakeAgent::join_with(house, "/run/nigari/").await;
    let again = same_path.claim().await;
    assert_eq!((again.run.as_str(), again.phase.as_str()), (held.run.as_str(), "apply"));
    assert!(house.get(&format!("/runs/{}", held.run)).await.json()["waits_for"].is_null());
}

#[tokio::test]
async fn who_gives_a_claim_back_is_asked_less_and_less() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let mut claim = held.claim;
    for minutes in 1..5 {
        House::read(agent.request(Method::POST, &format!("/claims/{claim}/release"))).await.expect(204);
        house.clock.advance(Duration::from_secs(60 * minutes - 5));
        assert_eq!(asked(&agent).await, 204, "{minutes}");
        house.clock.advance(Duration::from_secs(10));
        claim = agent.claim().await.claim;
    }
}

#[tokio::test]
async fn a_silent_agent_is_offline_after_a_lease_and_its_run_says_since_when() {
    let house = House::start().await;
    let (_agent, held) = applying(&house).await;
    let status = async || house.get("/agents").await.json()["items"][0]["status"].as_str().unwrap().to_owned();
    let seen = house.get(&format!("/runs/{}", held.run)).await.json()["agent_last_seen_at"].as_i64().unwrap();
    let silence = house.clock.now() - seen;
    assert!((0..10_000_000).contains(&silence), "{silence}");
    let resolution = json!({"resolved_as": "not_applied"});
    let refused = house.post(&format!("/runs/{}/resolve", held.run), resolution).await.expect_problem(409, "conflict");
    assert!(refused.field("hint").contains("becomes `lost` in 7"), "{refused:?}");
    house.clock.advance(Duration::from_secs(55));
    assert_eq!(status().await, "online");
    house.clock.advance(Duration::from_secs(15));
    assert_eq!(status().await, "offline");
}

#[tokio::test]
async fn a_removed_agent_is_nobody_and_one_with_a_run_is_removed_by_force_only() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    house.delete("/agents/fake").await.expect_problem(409, "conflict");
    agent.step(&held, "apply").await.expect(409);
    house.delete("/agents/fake?force=true").await.expect(204);
    agent.ask(&ClaimId::generate().to_string(), 0).await.expect_problem(401, "unauthorized");
    house.delete("/agents/fake").await.expect_problem(404, "not_found");
    super::expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    let records = house.get("/audit").await.text;
    assert!(records.contains("agent:delete") && records.contains("\"with_runs\":true"), "{records}");
}

#[tokio::test]
async fn a_state_that_is_kept_on_a_host_is_told_in_the_runs_events() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    let tell = async |path: &str| {
        let request = agent.request(Method::POST, &format!("/runs/{}/kept-state", held.run));
        House::read(request.json(&json!({"path": path}))).await
    };
    tell("/var/lib/nigari/rescued/x.tfstate").await.expect(204);
    tell("x.tfstate").await.expect_problem(422, "invalid");
    // One that never had the run has nothing to tell of it.
    let other = FakeAgent::join(&house).await;
    let request = other.request(Method::POST, &format!("/runs/{}/kept-state", held.run));
    House::read(request.json(&json!({"path": "/x"}))).await.expect_problem(404, "not_found");
    let events = house.get(&format!("/runs/{}/events", held.run)).await.json();
    let last = events["items"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["event"], &last["agent"]), (&json!("state_kept_aside"), &json!("fake")));
    assert_eq!(last["path"], "/var/lib/nigari/rescued/x.tfstate");
    assert!(house.get("/audit").await.text.contains("state:keep_aside"));
}
