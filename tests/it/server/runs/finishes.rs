//! The end of a phase: once, whatever is repeated.

use serde_json::json;

use super::fake_agent::{planned_report, report};
use super::{House, applying, claimed, expire_leases, planned, state_of};

#[tokio::test]
async fn a_repeat_gets_the_same_answer_and_another_report_is_refused() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    let first = report("applied");
    agent.finish(&held, &first).await.expect(200);
    assert_eq!(agent.finish(&held, &first).await.expect(200).field("next"), "done");
    let mut same = first.clone();
    same["request"] = report("applied")["request"].clone();
    agent.finish(&held, &same).await.expect(200);
    agent.finish(&held, &report("failed")).await.expect_problem(409, "conflict");
    assert_eq!(state_of(&house, &held.run).await, "applied");
    let events = house.get(&format!("/runs/{}/events", held.run)).await.json();
    let receipts = events["items"].as_array().unwrap().iter().filter(|event| event["event"] == "receipt");
    assert_eq!(receipts.count(), 2, "one for each phase");
}

#[tokio::test]
async fn an_outcome_must_fit_the_phase() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.finish(&held, &report("applied")).await.expect_problem(409, "conflict");
    agent.finish(&held, &report("no_changes")).await.expect_problem(409, "conflict");
    agent.plan(&held).await;
    agent.finish(&held, &report("no_changes")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "no_changes");
    let (agent, held) = {
        let configuration = house.get(&format!("/runs/{}", held.run)).await.field("configuration");
        super::make(&house, "net", &configuration, &json!({"kind": "plan", "auto_apply": true})).await;
        let held = agent.claim().await;
        (agent, held)
    };
    agent.plan(&held).await;
    assert_eq!(agent.finish(&held, &report("planned")).await.expect(200).field("next"), "done");
    assert_eq!(state_of(&house, &held.run).await, "plan_finished");
}

#[tokio::test]
async fn nonsense_is_refused() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let mut unknown = report("failed");
    unknown["exit_code"] = json!(1);
    agent.finish(&held, &unknown).await.expect_problem(422, "invalid");
    let mut no_failure = report("failed");
    no_failure.as_object_mut().unwrap().remove("failure");
    agent.finish(&held, &no_failure).await.expect_problem(422, "invalid");
    let mut directory = report("canceled");
    directory["run_directory"] = json!("../../etc");
    agent.finish(&held, &directory).await.expect_problem(422, "invalid");
    let mut long = report("failed");
    long["failure"]["message"] = json!("x".repeat(300 * 1024));
    agent.finish(&held, &long).await.expect_problem(422, "invalid");
    let mut huge = report("failed");
    huge["failure"]["message"] = json!("x".repeat(2 * 1024 * 1024));
    agent.finish(&held, &huge).await.expect_problem(413, "too_large");
    agent.finish(&held, &report("exploded")).await.expect_problem(422, "invalid");
    assert_eq!(state_of(&house, &held.run).await, "planning");
}

#[tokio::test]
async fn a_plan_that_fenced_itself_is_queued_again() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let mut lost = report("failed");
    lost["failure"] = json!({"class": "lease_lost", "message": "no answer for 50 s"});
    agent.finish(&held, &lost).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "queued");
    assert_eq!(agent.claim().await.epoch, 2);
}

#[tokio::test]
async fn a_lost_applys_late_report_counts() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    agent.finish(&held, &report("failed")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "errored");
}

#[tokio::test]
async fn a_report_after_a_persons_decision_is_evidence_only() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    expire_leases(&house).await;
    house.post(&format!("/runs/{}/resolve", held.run), json!({"resolved_as": "not_applied"})).await.expect(200);
    agent.finish(&held, &report("applied")).await.expect_problem(409, "stale_epoch");
    assert_eq!(state_of(&house, &held.run).await, "errored");
    let receipts = house.get(&format!("/runs/{}/receipts", held.run)).await.json();
    assert_eq!(receipts["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_canceled_plan_that_was_planned_meanwhile_is_canceled() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    agent.upload_artifact(&held, b"x").await.expect(204);
    house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200);
    agent.finish(&held, &planned_report(&held, b"x")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "canceled");
}

#[tokio::test]
async fn a_discarded_plan_is_never_applied() {
    let house = House::start().await;
    let (_, held) = planned(&house).await;
    house.send(reqwest::Method::POST, &format!("/runs/{}/discard", held.run), &house.admin, None).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "discarded");
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect_problem(409, "conflict");
}
