//! Whole runs, on both databases.

use nigari::protocol::id::ClaimId;
use serde_json::json;

use super::fake_agent::{FakeAgent, Held, report, state};
use super::{House, claimed, make, planned, prepare, state_of};

macro_rules! on_both {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::House::start().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                let Some(database) = support::postgres::Database::new() else { return };
                let url = database.url();
                let house = super::House::start_with(|settings| settings.database_url = Some(url.into())).await;
                super::$name(&house).await;
                house.state.store.close().await;
            })*
        }
    };
}

on_both! {
    a_run_is_planned_approved_and_applied_by_another_agent,
    with_auto_apply_one_claim_goes_on,
    a_run_that_is_made_wakes_the_agent_that_waits,
    runs_of_a_workspace_follow_each_other,
}

async fn a_run_is_planned_approved_and_applied_by_another_agent(house: &House) {
    let (first, held) = planned(house).await;
    let run = held.run.clone();
    let shown = house.get(&format!("/runs/{run}")).await.expect(200).json();
    assert_eq!(shown["state"], "awaiting_approval");
    assert_eq!(shown["plan"]["change"], 2);
    let steps: Vec<_> = shown["steps"].as_array().unwrap().iter().map(|step| step["step"].clone()).collect();
    assert_eq!(steps, ["fetch", "init", "plan", "show"]);
    let digest = shown["artifact_digest"].as_str().unwrap();
    house.post(&format!("/runs/{run}/approve"), json!({"artifact_digest": digest})).await.expect(200);

    let second = FakeAgent::join(house).await;
    let apply = second.claim().await;
    assert_eq!((apply.phase.as_str(), apply.epoch), ("apply", 2));
    assert_eq!(apply.all["artifact_digest"], digest);
    assert_eq!(apply.all["run_directory"], format!("/run/nigari/{run}"));
    assert_eq!(second.get(&apply, "artifact").await.expect(200).text, "the plan");
    second.step(&apply, "init").await.expect(204);
    second.step(&apply, "apply").await.expect(204);
    second.lock(&apply, "l1").await.expect(204);
    second.write_state(&apply, "l1", &state(1, "a")).await.expect(204);
    second.post(&apply, "state/unlock", &json!({"ID": "l1"})).await.expect(204);
    assert_eq!(second.finish(&apply, &report("applied")).await.expect(200).field("next"), "done");
    assert_eq!(state_of(house, &run).await, "applied");
    assert_ne!(first.id, second.id);

    let receipts = house.get(&format!("/runs/{run}/receipts")).await.expect(200).json();
    assert_eq!(receipts["items"][0]["phase"], "plan");
    assert_eq!(receipts["items"][1]["agent"], second.id);
    assert_eq!(receipts["items"][1]["wiped"], true);
    let events = house.get(&format!("/runs/{run}/events")).await.expect(200).json();
    let states: Vec<_> =
        events["items"].as_array().unwrap().iter().filter_map(|event| event["state"].as_str()).collect();
    assert_eq!(states, ["queued", "planning", "awaiting_approval", "apply_queued", "applying", "applied"]);
    let workspace = house.get("/workspaces/net").await.expect(200).json();
    assert_eq!((&workspace["state_serial"], &workspace["active_run"]), (&json!(1), &json!(null)));
}

async fn with_auto_apply_one_claim_goes_on(house: &House) {
    let (agent, held) = claimed(house, &json!({"auto_apply": true})).await;
    assert_eq!(held.all["auto_apply"], true);
    agent.plan(&held).await;
    let mut planned = report("planned");
    planned["plan"] = json!({"add": 1, "change": 0, "destroy": 0, "import": 0, "outputs": 0});
    let answer = agent.finish(&held, &planned).await.expect(200);
    assert_eq!(answer.field("next"), "apply_now");
    assert_eq!(agent.finish(&held, &planned).await.expect(200).field("next"), "apply_now", "a repeat");
    let apply = Held { phase: "apply".to_owned(), ..held.clone() };
    agent.step(&apply, "apply").await.expect(204);
    agent.log(&apply, 0, b"Apply complete!").await.expect(204);
    agent.finish(&apply, &report("applied")).await.expect(200);
    assert_eq!(state_of(house, &held.run).await, "applied");
    let log = house.get(&format!("/runs/{}/logs/apply", held.run)).await.expect(200);
    assert_eq!((log.text.as_str(), &log.headers["nigari-complete"]), ("Apply complete!", &"true".parse().unwrap()));
}

async fn a_run_that_is_made_wakes_the_agent_that_waits(house: &House) {
    let configuration = prepare(house, "net").await;
    let agent = FakeAgent::join(house).await;
    let claim = ClaimId::generate().to_string();
    let (answer, run) = tokio::join!(agent.ask(&claim, 30), async {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        make(house, "net", &configuration, &json!({})).await
    });
    assert_eq!(Held::of(&answer.expect(200)).run, run, "the answer came while the request was held");
}

async fn runs_of_a_workspace_follow_each_other(house: &House) {
    let (agent, held) = claimed(house, &json!({})).await;
    let configuration = held_configuration(house, &held).await;
    let second = make(house, "net", &configuration, &json!({"kind": "destroy"})).await;
    let plan_only = make(house, "net", &configuration, &json!({"kind": "plan"})).await;
    assert_eq!(state_of(house, &second).await, "pending");
    assert_eq!(agent.claim().await.run, plan_only, "a plan-only run waits for nobody");
    let claim = ClaimId::generate().to_string();
    let waiting = agent.ask(&claim, 30);
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        agent.step(&held, "fetch").await.expect(204);
        agent.finish(&held, &report("failed")).await.expect(200);
    };
    let (answer, ()) = tokio::join!(waiting, end);
    let next = Held::of(&answer.expect(200));
    assert_eq!((next.run.as_str(), &next.all["kind"]), (second.as_str(), &json!("destroy")));
    let failed = house.get(&format!("/runs/{}", held.run)).await.json();
    assert_eq!(failed["failure"]["message"], "Error: it's \"broken\"");
}

async fn held_configuration(house: &House, held: &Held) -> String {
    house.get(&format!("/runs/{}", held.run)).await.expect(200).field("configuration")
}
