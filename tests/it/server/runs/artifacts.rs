//! Artifacts and what approval binds.

use nigari::protocol::DIGEST_HEADER;
use reqwest::Method;
use serde_json::json;

use super::fake_agent::{digest, planned_report, report};
use super::{House, claimed, planned, state_of};

#[tokio::test]
async fn an_artifact_comes_back_as_it_went() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    // More than one batch of chunks.
    let bytes: Vec<u8> = (0..5_000_003u32).flat_map(u32::to_le_bytes).take(5_000_003).collect();
    agent.upload_artifact(&held, &bytes).await.expect(204);
    agent.upload_artifact(&held, &bytes).await.expect(204);
    agent.finish(&held, &planned_report(&held, &bytes)).await.expect(200);
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let apply = agent.claim().await;
    let response = agent.of_run(&apply, Method::GET, "artifact").send().await.unwrap();
    assert_eq!(response.headers()[DIGEST_HEADER], digest(&bytes));
    assert!(response.bytes().await.unwrap() == bytes, "other bytes");
}

#[tokio::test]
async fn an_artifact_that_is_not_what_it_says_is_refused() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.upload_artifact(&held, b"x").await.expect_problem(409, "conflict");
    agent.plan(&held).await;
    let put = |digest: &str| agent.of_run(&held, Method::PUT, "artifact").header(DIGEST_HEADER, digest).body("x");
    House::read(put(&digest(b"y"))).await.expect_problem(422, "invalid");
    House::read(put("abc")).await.expect_problem(400, "malformed");
    House::read(put(&digest(b"x").to_uppercase())).await.expect_problem(400, "malformed");
    let without = agent.of_run(&held, Method::PUT, "artifact").body("x");
    House::read(without).await.expect_problem(400, "malformed");
    let refused = agent.finish(&held, &planned_report(&held, b"x")).await;
    refused.expect_problem(422, "invalid");
    assert_eq!(state_of(&house, &held.run).await, "planning");
}

#[tokio::test]
async fn a_plan_without_artifact_cannot_wait_for_approval() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    agent.finish(&held, &report("planned")).await.expect_problem(409, "conflict");
    agent.upload_artifact(&held, b"x").await.expect(204);
    let mut no_directory = planned_report(&held, b"x");
    no_directory.as_object_mut().unwrap().remove("run_directory");
    agent.finish(&held, &no_directory).await.expect_problem(422, "invalid");
    agent.get(&held, "artifact").await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn approval_is_bound_to_the_digest() {
    let house = House::start().await;
    let (_, held) = planned(&house).await;
    let approve = format!("/runs/{}/approve", held.run);
    house.post(&approve, json!({"artifact_digest": digest(b"another plan")})).await.expect_problem(409, "conflict");
    house.post(&approve, json!({"digest": "x"})).await.expect_problem(422, "invalid");
    assert_eq!(state_of(&house, &held.run).await, "awaiting_approval");
    let run = house.post(&approve, json!({"artifact_digest": digest(b"the plan")})).await.expect(200).json();
    assert_eq!((&run["state"], &run["artifact_digest"]), (&json!("apply_queued"), &json!(digest(b"the plan"))));
    house.post(&approve, json!({})).await.expect_problem(409, "conflict");
}
