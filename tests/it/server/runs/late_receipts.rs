//! Receipts that come without the report of their phase's end: the agent had died, and the next one tells.

use nigari::protocol::id::RunId;
use serde_json::{Value, json};

use super::fake_agent::{FakeAgent, Held, report};
use super::{House, applying, claimed, expire_leases, on_both, state_of};

/// A receipt as a sweep makes it.
fn swept() -> Value {
    let mut receipt = report("failed")["receipt"].clone();
    receipt["end"] = json!("swept");
    receipt
}

async fn receipts(house: &House, run: &str) -> Vec<Value> {
    let list = house.get(&format!("/runs/{run}/receipts")).await.expect(200).json();
    list["items"].as_array().unwrap().clone()
}

/// How many receipts the run's events tell of.
async fn told(house: &House, run: &str) -> usize {
    let events = house.get(&format!("/runs/{run}/events")).await.expect(200).json();
    events["items"].as_array().unwrap().iter().filter(|event| event["event"] == "receipt").count()
}

#[tokio::test]
async fn a_receipt_of_an_epoch_that_is_over_is_kept_once_and_changes_nothing_else() {
    on_both(async |house| {
        let (agent, lost) = claimed(house, &json!({})).await;
        agent.step(&lost, "fetch").await.expect(204);
        expire_leases(house).await;
        let second = FakeAgent::join(house).await;
        let held = second.claim().await;
        assert_eq!((held.run.as_str(), held.epoch), (lost.run.as_str(), 2));
        agent.post(&lost, "receipts/plan", &swept()).await.expect(204);
        let mut other = swept();
        other["verified_by"] = json!("another look");
        agent.post(&lost, "receipts/plan", &other).await.expect(204);
        let kept = receipts(house, &lost.run).await;
        assert_eq!(kept.len(), 1, "{kept:#?}");
        let words = |name: &str| kept[0][name].clone();
        assert_eq!((words("end"), words("verified_by")), (json!("swept"), json!("a look")));
        assert_eq!((words("epoch"), words("phase"), words("agent")), (json!(1), json!("plan"), json!(agent.id)));
        assert_eq!(told(house, &lost.run).await, 1);
        let audit = house.get("/audit?limit=500").await.json();
        let records = audit["items"].as_array().unwrap().iter().filter(|record| record["action"] == "run:receipt");
        assert_eq!(records.count(), 1, "{audit}");
        // Who has the run now goes on with it.
        assert_eq!(state_of(house, &lost.run).await, "planning");
        second.plan(&held).await;
        second.finish(&held, &report("no_changes")).await.expect(200);
        assert_eq!(receipts(house, &lost.run).await.len(), 2);
    })
    .await;
}

#[tokio::test]
async fn a_receipt_before_the_report_counts_and_one_after_it_does_not() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({"auto_apply": true})).await;
    agent.plan(&held).await;
    agent.post(&held, "receipts/plan", &swept()).await.expect(204);
    assert_eq!(state_of(&house, &held.run).await, "planning");
    agent.post(&held, "receipts/apply", &swept()).await.expect_problem(409, "conflict");
    let mut planned = report("planned");
    planned["plan"] = json!({"add": 1, "change": 2, "destroy": 3, "import": 0, "outputs": 1});
    assert_eq!(agent.finish(&held, &planned).await.expect(200).field("next"), "apply_now");
    agent.step(&held, "apply").await.expect(204);
    agent.finish(&held, &report("applied")).await.expect(200);
    agent.post(&held, "receipts/apply", &swept()).await.expect(204);
    let ends: Vec<_> = receipts(&house, &held.run).await.iter().map(|receipt| receipt["end"].clone()).collect();
    assert_eq!(ends, ["swept", "step_over"]);
    assert_eq!((told(&house, &held.run).await, state_of(&house, &held.run).await.as_str()), (2, "applied"));
}

#[tokio::test]
async fn a_receipt_is_taken_only_from_who_had_that_claim_in_that_phase() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    for epoch in [0, held.epoch + 1, -1, i64::MAX] {
        let never = Held { epoch, ..held.clone() };
        agent.post(&never, "receipts/apply", &swept()).await.expect_problem(409, "stale_epoch");
    }
    let thief = FakeAgent::join(&house).await;
    thief.post(&held, "receipts/apply", &swept()).await.expect_problem(409, "stale_epoch");
    let nowhere = Held { run: RunId::generate().to_string(), ..held.clone() };
    agent.post(&nowhere, "receipts/apply", &swept()).await.expect_problem(404, "not_found");
    // The plan was another claim's, which had waited for an approval.
    agent.post(&held, "receipts/plan", &swept()).await.expect_problem(409, "conflict");
    let planned = Held { epoch: 1, ..held.clone() };
    agent.post(&planned, "receipts/apply", &swept()).await.expect_problem(409, "conflict");
    agent.post(&held, "receipts/apply", &json!({"end": "swept"})).await.expect_problem(422, "invalid");
    assert_eq!(receipts(&house, &held.run).await.len(), 1, "the plan's own");
    assert_eq!(state_of(&house, &held.run).await, "applying");
}

#[tokio::test]
async fn an_end_of_a_later_version_is_kept_as_unknown() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let mut later = report("failed");
    later["receipt"]["end"] = json!("beamed_up");
    agent.finish(&held, &later).await.expect(200);
    assert_eq!(receipts(&house, &held.run).await[0]["end"], "unknown");
}
