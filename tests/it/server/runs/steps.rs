//! Steps: in order, once, and none of an apply after a cancel.

use nigari::protocol::id::RequestId;
use reqwest::Method;
use serde_json::json;

use super::fake_agent::report;
use super::{House, applying, claimed, expire_leases, planned, state_of};

#[tokio::test]
async fn steps_have_an_order() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    for step in ["plan", "show", "apply"] {
        let answer = agent.step(&held, step).await.expect_problem(409, "conflict");
        assert!(
            answer.field("detail").contains("out of order") || answer.field("detail").contains("phase"),
            "{answer:?}"
        );
    }
    agent.step(&held, "fetch").await.expect(204);
    agent.step(&held, "fetch").await.expect_problem(409, "conflict");
    agent.step(&held, "init").await.expect(204);
    agent.step(&held, "fetch").await.expect_problem(409, "conflict");
    agent.step(&held, "deploy").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_repeated_report_is_answered_like_the_first() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let body = json!({"request": RequestId::generate().to_string()});
    for _ in 0..3 {
        agent.post(&held, "steps/fetch", &body).await.expect(204);
    }
    let run = house.get(&format!("/runs/{}", held.run)).await.json();
    assert_eq!(run["steps"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_report_has_no_other_fields() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let request = RequestId::generate().to_string();
    agent.post(&held, "steps/fetch", &json!({"request": request, "x": 1})).await.expect_problem(422, "invalid");
    agent.post(&held, "steps/fetch", &json!({"request": "x"})).await.expect_problem(422, "invalid");
    let not_json = agent.of_run(&held, Method::POST, "steps/fetch").body("{}");
    House::read(not_json).await.expect_problem(415, "unsupported_media_type");
}

#[tokio::test]
async fn an_apply_is_not_started_after_a_cancel() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({"auto_apply": true})).await;
    agent.plan(&held).await;
    agent.finish(&held, &report("planned")).await.expect(200);
    house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200);
    let answer = agent.step(&held, "apply").await.expect_problem(409, "conflict");
    assert!(answer.field("detail").contains("cancel"), "{answer:?}");
    agent.finish(&held, &report("canceled")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "canceled");
}

#[tokio::test]
async fn an_apply_is_started_once() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.step(&held, "apply").await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn a_repeated_report_of_an_apply_begins_nothing_once_the_run_is_lost() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let held = agent.claim().await;
    agent.step(&held, "init").await.expect(204);
    let report = json!({"request": RequestId::generate()});
    agent.post(&held, "steps/apply", &report).await.expect(204);
    agent.post(&held, "steps/apply", &report).await.expect(204);
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    agent.post(&held, "steps/apply", &report).await.expect_problem(409, "stale_epoch");
}
