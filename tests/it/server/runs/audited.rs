//! What becomes of a claim stands in the audit trail, committed with it.

use reqwest::Method;
use serde_json::{Value, json};

use super::fake_agent::report;
use super::{House, applying, claimed, expire_leases, on_both};

/// The newest record of this action: actor, resource, particulars.
async fn newest(house: &House, action: &str) -> (String, String, Value) {
    let audit = house.get("/audit?limit=500").await.json();
    let mut records: Vec<Value> = audit["items"].as_array().unwrap().clone();
    records.retain(|record| record["action"] == action);
    records.sort_by_key(|record| record["sequence"].as_i64().unwrap());
    let record = records.pop().unwrap_or_else(|| panic!("no {action}: {audit}"));
    let text = |name: &str| record[name].as_str().unwrap().to_owned();
    (text("actor"), text("resource"), record["particulars"].clone())
}

#[tokio::test]
async fn a_claim_that_is_given_back_is_on_record() {
    on_both(async |house| {
        let (agent, held) = claimed(house, &json!({})).await;
        let path = format!("/claims/{}/release", held.claim);
        House::read(agent.request(Method::POST, &path)).await.expect(204);
        let (actor, resource, particulars) = newest(house, "run:release").await;
        assert_eq!((actor, &resource), (format!("agent:{}", agent.id), &held.run));
        assert_eq!(particulars, json!({"claim": held.claim, "epoch": 1, "state": "queued"}));
    })
    .await;
}

#[tokio::test]
async fn a_lapse_and_a_return_are_on_record() {
    on_both(async |house| {
        let (agent, held) = applying(house).await;
        expire_leases(house).await;
        let (actor, resource, particulars) = newest(house, "run:lapse").await;
        assert_eq!((actor.as_str(), &resource), ("server", &held.run));
        assert_eq!(particulars, json!({"epoch": held.epoch, "state": "lost"}));
        agent.post(&held, "renew", &json!({})).await.expect(200);
        let (actor, resource, particulars) = newest(house, "run:return").await;
        assert_eq!((actor, &resource), (format!("agent:{}", agent.id), &held.run));
        assert_eq!(particulars, json!({"epoch": held.epoch}));
    })
    .await;
}

#[tokio::test]
async fn a_second_plan_that_fails_leaves_nothing_of_the_first_to_look_at() {
    on_both(async |house| {
        let (agent, held) = claimed(house, &json!({"auto_apply": true})).await;
        agent.plan(&held).await;
        let mut planned = report("planned");
        planned["plan"] = json!({"add": 1, "change": 2, "destroy": 3, "import": 0, "outputs": 1});
        assert_eq!(agent.finish(&held, &planned).await.field("next"), "apply_now");
        let shown = async || house.get(&format!("/runs/{}", held.run)).await.expect(200).json();
        assert_eq!(shown().await["plan"]["add"], 1);
        expire_leases(house).await;
        assert_eq!(shown().await["plan"], Value::Null, "it waits to be planned again");
        let again = agent.claim().await;
        agent.step(&again, "fetch").await.expect(204);
        agent.finish(&again, &report("failed")).await.expect(200);
        let shown = shown().await;
        assert_eq!((&shown["state"], &shown["plan"]), (&json!("errored"), &Value::Null), "{shown}");
    })
    .await;
}
