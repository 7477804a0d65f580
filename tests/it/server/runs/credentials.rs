//! Credentials: in the step `fetch` alone, once per claim, audited first.

use nigari::protocol::id::RequestId;
use serde_json::{Value, json};

use super::fake_agent::{FakeAgent, Held};
use super::{House, claimed, expire_leases, make, planned, prepare};

async fn integration(house: &House, name: &str, url: &str, export: bool) {
    let body = json!({
        "name": name, "url": url, "username": "robot", "secret": format!("hunter-{name}"),
        "export_credentials": export,
    });
    house.post("/registry-integrations", body).await.expect(201);
}

async fn releases(house: &House) -> Vec<Value> {
    let audit = house.get("/audit?limit=500").await.expect(200).json();
    let items = audit["items"].as_array().unwrap().clone();
    items.into_iter().filter(|record| record["action"] == "registry_integration:release").collect()
}

fn request() -> String {
    RequestId::generate().to_string()
}

#[tokio::test]
async fn exported_credentials_are_released_and_the_others_named() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    integration(&house, "off", "https://registry.example.com:5000", false).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let answer = agent.credentials(&held, &request()).await.expect(200).json();
    let credential = &answer["credentials"][0];
    assert_eq!(credential["address"], "ghcr.io/acme");
    assert_eq!((&credential["username"], &credential["secret"]), (&json!("robot"), &json!("hunter-acme")));
    assert_eq!(answer["credentials"].as_array().unwrap().len(), 1);
    assert_eq!(
        answer["withheld"],
        json!([{"name": "off", "address": "registry.example.com:5000", "reason": "export_off"}])
    );
    let releases = releases(&house).await;
    assert_eq!(releases.len(), 1);
    assert_eq!(releases[0]["actor"], format!("agent:{}", agent.id));
    assert_eq!(releases[0]["particulars"]["released"][0]["address"], "ghcr.io/acme");
    assert!(!releases[0].to_string().contains("hunter"), "{releases:?}");
}

#[tokio::test]
async fn for_the_delivery_file_only_what_permits_it_is_released_and_no_other_secret_leaves() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    integration(&house, "strict", "https://quay.io", true).await;
    house.patch("/registry-integrations/acme", json!({"permit_file": true})).await.expect(200);
    let (agent, held) = claimed(&house, &json!({})).await;
    assert_eq!((&held.all["delivery"], &held.all["whole_run"]), (&json!("auto"), &json!(false)));
    agent.step(&held, "fetch").await.expect(204);
    let answer = agent.credentials_by(&held, &request(), "file").await.expect(200);
    assert_eq!(answer.json()["credentials"][0]["address"], "ghcr.io/acme");
    assert_eq!(
        answer.json()["withheld"],
        json!([{"name": "strict", "address": "quay.io", "reason": "file_not_permitted"}])
    );
    assert!(!answer.text.contains("hunter-strict"));
    let releases = releases(&house).await;
    assert_eq!(releases[0]["particulars"]["delivery"], "file");
    assert_eq!(releases[0]["particulars"]["released"].as_array().unwrap().len(), 1);
    agent.credentials_by(&held, &request(), "magic").await.expect_problem(422, "invalid");
}

#[tokio::test]
async fn they_are_released_in_the_step_fetch_alone() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    agent.step(&held, "fetch").await.expect(204);
    let first = request();
    agent.credentials(&held, &first).await.expect(200);
    for step in ["init", "plan", "show"] {
        agent.step(&held, step).await.expect(204);
        agent.credentials(&held, &first).await.expect_problem(409, "conflict");
    }
    assert_eq!(releases(&house).await.len(), 1, "a refusal releases nothing");
}

#[tokio::test]
async fn a_repeat_of_the_request_gets_the_same_and_another_request_nothing() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let first = request();
    let answer = agent.credentials(&held, &first).await.expect(200);
    assert_eq!(agent.credentials(&held, &first).await.expect(200).text, answer.text);
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    assert_eq!(releases(&house).await.len(), 2, "each release has its record");
}

#[tokio::test]
async fn a_new_claim_is_released_its_own() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let first = request();
    agent.credentials(&held, &first).await.expect(200);
    expire_leases(&house).await;
    let second = FakeAgent::join(&house).await;
    let again = second.claim().await;
    second.step(&again, "fetch").await.expect(204);
    second.credentials(&again, &request()).await.expect(200);
    agent.credentials(&held, &first).await.expect_problem(409, "stale_epoch");
}

#[tokio::test]
async fn a_claim_whose_time_is_over_gets_none_even_before_anybody_noticed() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    house.clock.advance(std::time::Duration::from_secs(76));
    // Unless the server has just taken the leap for an absence and spared the lease.
    let answer = agent.credentials(&held, &request()).await;
    let deadline = house.state.clock.now();
    assert!(answer.status == 409 || spared(&house, &held.run, deadline).await, "{answer:?}");
}

async fn spared(house: &House, run: &str, now: i64) -> bool {
    let mut connection = house.state.store.read().await.unwrap();
    let record = nigari::server::store::runs::load(&mut connection, run.parse().unwrap()).await.unwrap().unwrap();
    record.lease_deadline.unwrap() > now
}

#[tokio::test]
async fn a_canceled_run_gets_none() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200);
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    assert!(releases(&house).await.is_empty());
}

#[tokio::test]
async fn one_secret_that_does_not_open_holds_up_no_other() {
    let house = House::start().await;
    integration(&house, "acme", "https://ghcr.io/acme", true).await;
    integration(&house, "broken", "https://registry.example.com:5000", true).await;
    house.sql("UPDATE registry_integrations SET username = 'somebody' WHERE name = 'broken'").await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let answer = agent.credentials(&held, &request()).await.expect(200).json();
    assert_eq!(answer["credentials"].as_array().unwrap().len(), 1);
    assert_eq!(answer["credentials"][0]["secret"], "hunter-acme");
    assert_eq!(
        answer["withheld"],
        json!([{"name": "broken", "address": "registry.example.com:5000", "reason": "unreadable"}])
    );
    assert_eq!(answer.to_string().matches("hunter").count(), 1);
}

/// A run that is to be applied by a claim of its own, and reports its `init`.
async fn about_to_apply(house: &House) -> (FakeAgent<'_>, Held) {
    let (agent, held) = planned(house).await;
    house.post(&format!("/runs/{}/approve", held.run), json!({})).await.expect(200);
    let held = agent.claim().await;
    agent.step(&held, "init").await.expect(204);
    (agent, held)
}

#[tokio::test]
async fn an_apply_is_released_what_permits_the_whole_run_where_the_workspace_wants_it_and_audited() {
    let house = House::start().await;
    integration(&house, "stays", "https://ghcr.io/acme", true).await;
    integration(&house, "goes", "https://quay.io", true).await;
    integration(&house, "off", "https://registry.example.com", false).await;
    for name in ["stays", "off"] {
        let path = format!("/registry-integrations/{name}");
        house.patch(&path, json!({"permit_whole_run": true})).await.expect(200);
    }
    let (agent, held) = about_to_apply(&house).await;
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    house.patch("/workspaces/net", json!({"whole_run": true})).await.expect(200);
    for delivery in ["file", "helper"] {
        agent.credentials_by(&held, &request(), delivery).await.expect_problem(409, "conflict");
    }
    let first = request();
    let answer = agent.credentials(&held, &first).await.expect(200);
    let credentials = answer.json()["credentials"].as_array().unwrap().clone();
    assert_eq!(credentials.len(), 1, "{answer:?}");
    assert_eq!((&credentials[0]["name"], &credentials[0]["whole_run"]), (&json!("stays"), &json!(true)));
    assert!(!answer.text.contains("hunter-goes") && !answer.text.contains("hunter-off"));
    // Once per epoch, and not after the apply has begun.
    assert_eq!(agent.credentials(&held, &first).await.expect(200).text, answer.text);
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    agent.step(&held, "apply").await.expect(204);
    agent.credentials(&held, &first).await.expect_problem(409, "conflict");
    let releases = releases(&house).await;
    assert_eq!(releases.len(), 2, "{releases:#?}");
    let particulars = &releases[0]["particulars"];
    assert_eq!((&particulars["phase"], &particulars["released"][0]["whole_run"]), (&json!("apply"), &json!(true)));
}

#[tokio::test]
async fn in_the_plan_it_is_said_of_each_whether_it_may_stay() {
    let house = House::start().await;
    integration(&house, "stays", "https://ghcr.io/acme", true).await;
    integration(&house, "goes", "https://quay.io", true).await;
    house.patch("/registry-integrations/stays", json!({"permit_whole_run": true})).await.expect(200);
    for (wish, delivery, stays) in
        [(false, "auto", false), (true, "auto", true), (true, "broker", true), (true, "helper", false)]
    {
        let name = format!("w-{wish}-{delivery}");
        let configuration = prepare(&house, &name).await;
        house.patch(&format!("/workspaces/{name}"), json!({"whole_run": wish})).await.expect(200);
        make(&house, &name, &configuration, &json!({})).await;
        let agent = FakeAgent::join(&house).await;
        let held = agent.claim().await;
        agent.step(&held, "fetch").await.expect(204);
        let answer = agent.credentials_by(&held, &request(), delivery).await.expect(200).json();
        let all = answer["credentials"].as_array().unwrap();
        let of = |name: &str| all.iter().find(|one| one["name"] == name).unwrap()["whole_run"].clone();
        assert_eq!((of("stays"), of("goes")), (json!(stays), json!(false)), "{wish} {delivery}");
    }
}

#[tokio::test]
async fn an_apply_that_is_to_be_canceled_gets_none() {
    let house = House::start().await;
    integration(&house, "stays", "https://ghcr.io/acme", true).await;
    house.patch("/registry-integrations/stays", json!({"permit_whole_run": true})).await.expect(200);
    let (agent, held) = about_to_apply(&house).await;
    house.patch("/workspaces/net", json!({"whole_run": true})).await.expect(200);
    house.post(&format!("/runs/{}/cancel", held.run), json!({})).await.expect(200);
    agent.credentials(&held, &request()).await.expect_problem(409, "conflict");
    assert!(releases(&house).await.is_empty());
}
