//! Runs that cannot be handed out, or must not: put aside with a word, and the next one is claimed.

use serde_json::json;

use super::fake_agent::{FakeAgent, Held, planned_report};
use super::{House, claimed, make, on_both, prepare};

/// It has ended, says why and what to do, and the audit trail has it.
async fn is_put_aside(house: &House, run: &str) {
    let shown = house.get(&format!("/runs/{run}")).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["failure"]["class"]), (&json!("errored"), &json!("internal")), "{shown}");
    assert!(shown["failure"]["message"].as_str().unwrap().contains("does not open"), "{shown}");
    assert!(shown["failure"]["hint"].as_str().unwrap().contains("new run"), "{shown}");
    let audit = house.get("/audit?limit=500").await.json();
    let refused = audit["items"].as_array().unwrap().iter().find(|record| record["action"] == "run:refuse");
    let refused = refused.unwrap_or_else(|| panic!("{audit}"));
    assert_eq!((&refused["resource"], &refused["particulars"]["reason"]), (&json!(run), &json!("unreadable")));
}

/// An agent's claim while the first of two runs was changed so.
async fn claims_the_other(house: &House, change: &str) {
    let configuration = prepare(house, "net").await;
    let broken = make(house, "net", &configuration, &json!({})).await;
    let configuration = prepare(house, "other").await;
    let other = make(house, "other", &configuration, &json!({})).await;
    house.sql(&change.replace("RUN", &broken)).await;
    let held: Held = FakeAgent::join(house).await.claim().await;
    assert_eq!(held.run, other, "{change}");
    is_put_aside(house, &broken).await;
}

#[tokio::test]
async fn a_run_whose_variables_do_not_open_does_not_hold_up_its_pool() {
    on_both(async |house| {
        claims_the_other(house, "UPDATE runs SET variables = (SELECT key FROM blobs LIMIT 1) WHERE id = 'RUN'").await;
    })
    .await;
}

#[tokio::test]
async fn a_run_whose_configuration_does_not_open_does_not_hold_up_its_pool() {
    on_both(async |house| {
        let change = "UPDATE blobs SET key = (SELECT variables FROM runs WHERE id = 'RUN') WHERE id = \
                      (SELECT c.blob_id FROM configurations c JOIN runs r ON r.configuration_id = c.id WHERE r.id = 'RUN')";
        claims_the_other(house, change).await;
    })
    .await;
}

#[tokio::test]
async fn what_a_run_is_for_cannot_be_changed_before_it_is_claimed() {
    for change in ["auto_apply = 1", "kind = 'destroy'", "kind = 'destroy', auto_apply = 1"] {
        let house = House::start().await;
        claims_the_other(&house, &format!("UPDATE runs SET {change} WHERE id = 'RUN'")).await;
    }
}

#[tokio::test]
async fn what_a_run_is_of_cannot_be_changed_before_it_is_claimed() {
    // Other bytes, and another directory in them.
    for change in [format!("digest = '{}'", "b".repeat(64)), "working_directory = 'elsewhere'".to_owned()] {
        let house = House::start().await;
        let change = format!(
            "UPDATE configurations SET {change} WHERE id = (SELECT configuration_id FROM runs WHERE id = 'RUN')"
        );
        claims_the_other(&house, &change).await;
    }
}

#[tokio::test]
async fn a_row_that_is_no_configuration_any_more_does_not_hold_up_its_pool() {
    // PostgreSQL has types of its own that hold.
    let house = House::start().await;
    let change =
        "UPDATE configurations SET bytes = 'nonsense' WHERE id = (SELECT configuration_id FROM runs WHERE id = 'RUN')";
    claims_the_other(&house, change).await;
}

#[tokio::test]
async fn a_run_that_was_made_another_kind_frees_its_workspace_when_it_is_put_aside() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let broken = make(&house, "net", &configuration, &json!({})).await;
    let waits = make(&house, "net", &configuration, &json!({})).await;
    house.sql(&format!("UPDATE runs SET kind = 'plan' WHERE id = '{broken}'")).await;
    let held: Held = FakeAgent::join(&house).await.claim().await;
    assert_eq!(held.run, waits);
    is_put_aside(&house, &broken).await;
}

#[tokio::test]
async fn an_answer_that_was_changed_in_the_database_is_not_given_again() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.plan(&held).await;
    agent.upload_artifact(&held, b"the plan").await.expect(204);
    let report = planned_report(&held, b"the plan");
    assert_eq!(agent.finish(&held, &report).await.expect(200).field("next"), "done");
    for change in ["state = 'applying'", "state = 'applying', auto_apply = 1"] {
        house.sql(&format!("UPDATE runs SET {change} WHERE id = '{}'", held.run)).await;
        house.sql("UPDATE finishes SET next = 'apply_now'").await;
        assert_eq!(agent.finish(&held, &report).await.expect(200).field("next"), "done", "{change}");
    }
}

#[tokio::test]
async fn a_plan_is_not_applied_at_once_because_the_database_says_so_meanwhile() {
    for (made, change) in [
        (json!({}), "auto_apply = 1"),
        (json!({"kind": "plan"}), "kind = 'apply', auto_apply = 1"),
        (json!({"auto_apply": true}), "kind = 'destroy'"),
    ] {
        let house = House::start().await;
        let (agent, held) = claimed(&house, &made).await;
        agent.plan(&held).await;
        agent.upload_artifact(&held, b"the plan").await.expect(204);
        house.sql(&format!("UPDATE runs SET {change} WHERE id = '{}'", held.run)).await;
        let report = planned_report(&held, b"the plan");
        assert_eq!(agent.finish(&held, &report).await.expect(200).field("next"), "done", "{change}");
        is_put_aside(&house, &held.run).await;
        agent.step(&held, "apply").await.expect_problem(409, "stale_epoch");
    }
}
