//! What people ask and decide: lists, cancel, resolve, and what is refused.

use serde_json::json;

use super::{House, applying, claimed, expire_leases, make, prepare, state_of};

#[tokio::test]
async fn a_run_that_no_agent_has_is_canceled_at_once() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let first = make(&house, "net", &configuration, &json!({})).await;
    let second = make(&house, "net", &configuration, &json!({})).await;
    house.post(&format!("/runs/{second}/cancel"), json!({})).await.expect(200);
    assert_eq!(state_of(&house, &second).await, "canceled");
    let third = make(&house, "net", &configuration, &json!({})).await;
    house.post(&format!("/runs/{first}/cancel"), json!({})).await.expect(200);
    assert_eq!(state_of(&house, &third).await, "queued", "the workspace goes on");
    let refused = house.post(&format!("/runs/{first}/cancel"), json!({})).await.expect_problem(409, "conflict");
    assert!(refused.field("hint").contains("new run"), "{refused:?}");
}

#[tokio::test]
async fn a_run_that_an_agent_has_is_asked_to_end() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let run = house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200).json();
    assert_eq!((&run["state"], &run["cancel_requested"]), (&json!("planning"), &json!(true)));
    house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200);
    let events = house.get(&format!("/runs/{}/events?after=2", held.run)).await.expect(200).json();
    assert_eq!(events["items"].as_array().unwrap().len(), 1, "{events}");
    assert_eq!(events["items"][0]["event"], "cancel_requested");
    agent.finish(&held, &super::fake_agent::report("canceled")).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "canceled");
}

#[tokio::test]
async fn only_a_lost_run_is_resolved() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    agent.lock(&held, "l").await.expect(204);
    let resolve = format!("/runs/{}/resolve", held.run);
    house.post(&resolve, json!({"resolved_as": "applied"})).await.expect_problem(409, "conflict");
    expire_leases(&house).await;
    let cancel = house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect_problem(409, "conflict");
    assert!(cancel.field("hint").contains("run resolve"), "{cancel:?}");
    house.post(&resolve, json!({"resolved_as": "maybe"})).await.expect_problem(422, "invalid");
    let run = house.post(&resolve, json!({"resolved_as": "applied"})).await.expect(200).json();
    assert_eq!(run["state"], "applied");
    let workspace = house.get("/workspaces/net").await.json();
    assert_eq!((&workspace["state_lock"], &workspace["active_run"]), (&json!(null), &json!(null)));
}

#[tokio::test]
async fn runs_are_listed_newest_first_by_pages() {
    let house = House::start().await;
    let (here, there) = (prepare(&house, "here").await, prepare(&house, "there").await);
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(make(&house, "here", &here, &json!({"message": "m"})).await);
    }
    let other = make(&house, "there", &there, &json!({})).await;
    made.push(other.clone());
    made.reverse();
    let ids = |list: &serde_json::Value| -> Vec<String> {
        list["items"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = house.get("/runs").await.expect(200).json();
    assert_eq!((ids(&all), &all["next"]), (made.clone(), &json!(null)));
    let first = house.get("/runs?limit=3").await.json();
    assert_eq!(ids(&first), made[..3]);
    let before = first["next"].as_str().unwrap();
    let second = house.get(&format!("/runs?limit=3&before={before}")).await.json();
    assert_eq!((ids(&second), &second["next"]), (made[3..].to_vec(), &json!(null)));
    assert_eq!(ids(&house.get("/runs?workspace=there").await.json()), [other]);
    assert_eq!(ids(&house.get("/runs?workspace=here&state=pending").await.json()), made[1..3]);
    for query in ["limit=0", "limit=501"] {
        house.get(&format!("/runs?{query}")).await.expect_problem(422, "invalid");
    }
    for query in ["limit=x", "state=gone", "order=up"] {
        house.get(&format!("/runs?{query}")).await.expect_problem(400, "malformed");
    }
    house.get("/runs?workspace=nowhere").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_run_is_made_of_what_belongs_together() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    prepare(&house, "other").await;
    let post = async |workspace: &str, body: serde_json::Value| {
        house.post(&format!("/workspaces/{workspace}/runs"), body).await
    };
    let body = json!({"configuration": configuration, "kind": "apply"});
    post("other", body.clone()).await.expect_problem(404, "not_found");
    post("nowhere", body.clone()).await.expect_problem(404, "not_found");
    for (field, value) in [("kind", json!("deploy")), ("configuration", json!("x")), ("auto_apply", json!("yes"))] {
        let mut bad = body.clone();
        bad[field] = value;
        post("net", bad).await.expect_problem(422, "invalid");
    }
    for (field, value) in [("priority", json!(1)), ("message", json!("x".repeat(1025))), ("message", json!("a\0b"))] {
        let mut bad = body.clone();
        bad[field] = value;
        post("net", bad).await.expect_problem(422, "invalid");
    }
    post("net", body).await.expect(201);
    house.get("/runs/run-00").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_workspace_says_whether_its_runs_are_approved() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    house.patch("/workspaces/net", json!({"auto_apply": true})).await.expect(200);
    let auto = make(&house, "net", &configuration, &json!({})).await;
    assert_eq!(house.get(&format!("/runs/{auto}")).await.field("auto_apply"), "true");
    let asked = make(&house, "net", &configuration, &json!({"auto_apply": false})).await;
    assert_eq!(house.get(&format!("/runs/{asked}")).await.field("auto_apply"), "false");
}

#[tokio::test]
async fn a_reader_of_events_waits_for_the_next() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let path = format!("/runs/{}/events?after=2&wait=30", held.run);
    let (events, ()) = tokio::join!(house.get(&path), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        agent.step(&held, "fetch").await.expect(204);
    });
    let events = events.json();
    assert_eq!(events["items"][0]["step"], "fetch");
    assert_eq!((&events["items"][0]["sequence"], &events["next"]), (&json!(3), &json!("3")));
}
