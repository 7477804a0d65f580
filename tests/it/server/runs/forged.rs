//! What somebody who can write the database, but has not the key, can forge of runs: nothing that is taken.

use reqwest::Method;
use serde_json::json;

use super::fake_agent::{FakeAgent, planned_report, state};
use super::{House, applying, claimed, expire_leases, make, planned, prepare, state_of};

/// A run that waits for approval in a workspace of its own.
async fn planned_in(house: &House, agent: &FakeAgent<'_>, workspace: &str, artifact: &[u8]) -> String {
    let configuration = prepare(house, workspace).await;
    let run = make(house, workspace, &configuration, &json!({})).await;
    let held = agent.claim().await;
    assert_eq!(held.run, run);
    agent.plan(&held).await;
    agent.upload_artifact(&held, artifact).await.expect(204);
    agent.finish(&held, &planned_report(&held, artifact)).await.expect(200);
    run
}

#[tokio::test]
async fn another_runs_artifact_is_not_opened() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    let other = planned_in(&house, &agent, "other", b"another plan").await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let apply = agent.claim().await;
    house
        .sql(&format!(
            "UPDATE runs SET artifact_blob_id = (SELECT artifact_blob_id FROM runs WHERE id = '{other}') \
             WHERE id = '{}'",
            held.run
        ))
        .await;
    let answer = House::read(agent.of_run(&apply, Method::GET, "artifact")).await.expect(500);
    assert!(!answer.text.contains("plan"), "{answer:?}");
}

#[tokio::test]
async fn another_workspaces_state_and_configuration_and_another_runs_log_are_not_opened() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.log(&held, 0, b"first").await.expect(204);
    agent.lock(&held, "l").await.expect(204);
    agent.write_state(&held, "l", &state(1, "a")).await.expect(204);
    let other = planned_in(&house, &agent, "other", b"another plan").await;
    house.post("/workspaces/other/state", state(7, "b")).await.expect(204);
    house
        .sql(
            "UPDATE state_versions SET blob_id = (SELECT blob_id FROM state_versions ORDER BY sequence LIMIT 1), \
             digest = (SELECT digest FROM state_versions ORDER BY sequence LIMIT 1)",
        )
        .await;
    house.get("/workspaces/other/state").await.expect(500);
    house.get("/workspaces/net/state").await.expect(200);
    house.sql(&format!("INSERT INTO run_logs SELECT '{other}', 'plan', 1, blob_id FROM run_logs")).await;
    house.get(&format!("/runs/{other}/logs/plan")).await.expect(500);
    house.get(&format!("/runs/{}/logs/apply", held.run)).await.expect(200);
    house.sql("UPDATE configurations SET blob_id = (SELECT MAX(blob_id) FROM configurations)").await;
    House::read(agent.of_run(&held, Method::GET, "configuration")).await.expect(500);
}

/// The database says that the run was approved; nobody did.
async fn forge(house: &House, run: &str, more: &str) {
    house.sql(&format!("UPDATE runs SET state = 'apply_queued', approved_by = 'admin'{more} WHERE id = '{run}'")).await;
}

async fn is_refused(house: &House, agent: &FakeAgent<'_>, run: &str) {
    let claim = nigari::protocol::id::ClaimId::generate().to_string();
    agent.ask(&claim, 0).await.expect(204);
    let shown = house.get(&format!("/runs/{run}")).await.expect(200).json();
    assert_eq!((&shown["state"], &shown["failure"]["class"]), (&json!("errored"), &json!("internal")), "{shown}");
    assert!(shown["failure"]["message"].as_str().unwrap().contains("approv"), "{shown}");
    assert!(shown["failure"]["hint"].is_string(), "{shown}");
    let audit = house.get("/audit?limit=500").await.json().to_string();
    assert!(audit.contains("run:refuse"), "{audit}");
}

#[tokio::test]
async fn an_approval_that_only_the_database_knows_of_is_refused() {
    for more in ["", ", auto_apply = 1"] {
        let house = House::start().await;
        let (agent, held) = planned(&house).await;
        forge(&house, &held.run, more).await;
        is_refused(&house, &agent, &held.run).await;
    }
}

#[tokio::test]
async fn an_approval_is_for_one_run_one_artifact_and_by_one_person() {
    for change in [
        "artifact_digest = 'd6f644b19812e97b5d871658d6d3400ecd4787faeb9b8990c1e7608288664be7'",
        "approved_by = 'somebody'",
        "approved_by = NULL",
        "configuration_id = (SELECT id FROM configurations WHERE workspace_id <> runs.workspace_id)",
    ] {
        let house = House::start().await;
        let (agent, held) = planned(&house).await;
        prepare(&house, "other").await;
        house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
        house.sql(&format!("UPDATE runs SET {change} WHERE id = '{}'", held.run)).await;
        is_refused(&house, &agent, &held.run).await;
    }
}

#[tokio::test]
async fn an_approved_plan_whose_directory_was_changed_is_offered_to_nobody() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    house.sql(&format!("UPDATE runs SET run_directory = '/tmp' WHERE id = '{}'", held.run)).await;
    let claim = nigari::protocol::id::ClaimId::generate().to_string();
    agent.ask(&claim, 0).await.expect(204);
    assert_eq!(state_of(&house, &held.run).await, "apply_queued");
}

#[tokio::test]
async fn an_approval_of_another_run_is_worth_nothing() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    let other = planned_in(&house, &agent, "other", b"the plan").await;
    house.post(&format!("/runs/{other}/approve"), json!({})).await.expect(200);
    let moved = format!(", approval = (SELECT approval FROM runs WHERE id = '{other}')");
    forge(&house, &held.run, &moved).await;
    // The approved one is claimed; the forged one is put aside on the way.
    let claimed = agent.claim().await;
    assert_eq!((claimed.run, claimed.phase.as_str()), (other, "apply"));
    assert_eq!(state_of(&house, &held.run).await, "errored");
}

#[tokio::test]
async fn an_approved_apply_that_lapsed_before_its_start_is_claimed_again() {
    let house = House::start().await;
    let (agent, held) = planned(&house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let first = agent.claim().await;
    agent.step(&first, "init").await.expect(204);
    expire_leases(&house).await;
    let second = FakeAgent::join(&house).await;
    let again = second.claim().await;
    assert_eq!((again.run, again.epoch), (held.run, first.epoch + 1));
}

#[tokio::test]
async fn an_auto_apply_that_lapsed_is_planned_again_whatever_was_uploaded() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({"auto_apply": true})).await;
    agent.plan(&held).await;
    agent.upload_artifact(&held, b"the plan").await.expect(204);
    assert_eq!(agent.finish(&held, &planned_report(&held, b"the plan")).await.field("next"), "apply_now");
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "queued", "nobody has approved this artifact");
}
