//! Claims over HTTP: repeated, given back, kept, drained; what an agent is told meanwhile.

use nigari::protocol::id::ClaimId;
use reqwest::Method;
use serde_json::json;

use super::fake_agent::{FakeAgent, Held};
use super::{House, applying, claimed, expire_leases, make, prepare, state_of};

fn claim() -> String {
    ClaimId::generate().to_string()
}

async fn watch(agent: &FakeAgent<'_>, after: i64) -> serde_json::Value {
    House::read(agent.request(Method::GET, &format!("/watch?after={after}"))).await.expect(200).json()
}

async fn release(agent: &FakeAgent<'_>, claim: &str) -> super::Answer {
    House::read(agent.request(Method::POST, &format!("/claims/{claim}/release"))).await
}

#[tokio::test]
async fn a_repeated_claim_gets_the_same_answer() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let again = Held::of(&agent.ask(&held.claim, 0).await.expect(200));
    assert_eq!(again.all, held.all);
    let thief = FakeAgent::join(&house).await;
    thief.ask(&held.claim, 0).await.expect_problem(409, "stale_epoch");
    agent.ask(&claim(), 0).await.expect(204);
}

#[tokio::test]
async fn a_claim_or_report_whose_answer_is_lost_is_neither_lost_nor_done_twice() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let agent = FakeAgent::join(&house).await;
    for round in 0..support::loops::times(30) {
        let run = make(&house, "net", &configuration, &json!({"kind": "plan"})).await;
        // Broken off before, in the middle of, or after the transaction.
        let patience = std::time::Duration::from_micros(u64::from(round) * 317 % 6000);
        let claim = claim();
        let _ = tokio::time::timeout(patience, agent.ask(&claim, 0)).await;
        let held = Held::of(&agent.ask(&claim, 0).await.expect(200));
        assert_eq!((held.run.as_str(), held.epoch), (run.as_str(), 1), "round {round}");
        let report = super::fake_agent::report("failed");
        let _ = tokio::time::timeout(patience, agent.finish(&held, &report)).await;
        agent.finish(&held, &report).await.expect(200);
        let receipts = house.get(&format!("/runs/{run}/receipts")).await.json();
        assert_eq!(receipts["items"].as_array().unwrap().len(), 1, "round {round}");
    }
}

#[tokio::test]
async fn a_session_that_ended_while_its_claim_was_held_gets_no_run() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let agent = FakeAgent::join(&house).await;
    let asked = claim();
    let held = agent.ask(&asked, 5);
    let ended = async {
        // Only so that the request is most probably held by then; if not, it is refused at its beginning.
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let now = house.clock.now();
        house.sql(&format!("UPDATE tokens SET revoked_at = {now} WHERE agent_id = '{}'", agent.id)).await;
        make(&house, "net", &configuration, &json!({"kind": "plan"})).await
    };
    let (answer, run) = tokio::join!(held, ended);
    assert!([204, 401].contains(&answer.status.as_u16()), "{answer:?}");
    assert_eq!(state_of(&house, &run).await, "queued");
}

#[tokio::test]
async fn an_agent_that_a_lost_run_depends_on_is_not_removed_by_the_way() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    house.delete(&format!("/agents/{}", agent.id)).await.expect_problem(409, "conflict");
    house.delete(&format!("/agents/{}?force=true", agent.id)).await.expect(204);
}

#[tokio::test]
async fn a_run_that_cannot_lapse_does_not_keep_the_others_from_it() {
    let house = House::start().await;
    let (_, broken) = applying(&house).await;
    let configuration = prepare(&house, "other").await;
    let other = make(&house, "other", &configuration, &json!({"kind": "plan"})).await;
    FakeAgent::join(&house).await.claim().await;
    house.sql(&format!("UPDATE runs SET kind = 'from the future' WHERE id = '{}'", broken.run)).await;
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &other).await, "queued");
}

#[tokio::test]
async fn the_claim_carries_the_runs_variables_as_they_were() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let put = async |value: &str| {
        let body = json!({"value": value, "sensitive": true});
        house.put("/workspaces/net/variables/env/AWS_REGION", body).await.expect(204);
    };
    put("eu-1").await;
    make(&house, "net", &configuration, &json!({})).await;
    put("us-2").await;
    let held = FakeAgent::join(&house).await.claim().await;
    let expected = json!([{"kind": "env", "name": "AWS_REGION", "value": "eu-1", "sensitive": true}]);
    assert_eq!(held.all["variables"], expected);
}

#[tokio::test]
async fn a_claim_is_given_back_before_its_first_step_alone() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let thief = FakeAgent::join(&house).await;
    release(&thief, &held.claim).await.expect_problem(404, "not_found");
    release(&agent, &held.claim).await.expect(204);
    release(&agent, &held.claim).await.expect(204);
    assert_eq!(state_of(&house, &held.run).await, "queued");
    agent.ask(&claim(), 0).await.expect(204);
    let again = thief.claim().await;
    assert_eq!(again.epoch, 2, "what one agent cannot do is offered to another first");
    thief.step(&again, "fetch").await.expect(204);
    release(&thief, &again.claim).await.expect_problem(409, "conflict");
    release(&agent, "nonsense").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn what_was_given_back_is_offered_again_after_a_minute() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    release(&agent, &held.claim).await.expect(204);
    agent.ask(&claim(), 0).await.expect(204);
    house.clock.advance(std::time::Duration::from_secs(61));
    assert_eq!(agent.claim().await.run, held.run);
}

#[tokio::test]
async fn a_renewed_lease_is_not_over() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    for _ in 0..3 {
        house.clock.advance(std::time::Duration::from_secs(50));
        let renewed = agent.post(&held, "renew", &json!({})).await.expect(200).json();
        assert_eq!(renewed, json!({"lease_seconds": 60, "cancel": false, "kill": false}));
        nigari::server::tasks::lapse_overdue(&house.state).await.unwrap();
    }
    assert_eq!(state_of(&house, &held.run).await, "planning");
}

#[tokio::test]
async fn a_lost_apply_is_back_when_its_agent_renews() {
    let house = House::start().await;
    let (agent, held) = applying(&house).await;
    expire_leases(&house).await;
    assert_eq!(state_of(&house, &held.run).await, "lost");
    agent.post(&held, "renew", &json!({})).await.expect(200);
    assert_eq!(state_of(&house, &held.run).await, "applying");
}

#[tokio::test]
async fn a_cancel_reaches_the_agent_that_watches() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    let nothing = watch(&agent, -1).await;
    assert_eq!(nothing, json!({"next": 0, "cancel": [], "kill": [], "drain": false}));
    let cancel = format!("/runs/{}/cancel", held.run);
    let (told, ()) = tokio::join!(watch(&agent, 0), async {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        house.post(&cancel, json!({})).await.expect(200);
    });
    assert_eq!(told["cancel"], json!([held.run]));
    let renewed = agent.post(&held, "renew", &json!({})).await.expect(200).json();
    assert_eq!((&renewed["cancel"], &renewed["kill"]), (&json!(true), &json!(false)));
    house.post(&cancel, json!({"kill": true})).await.expect(200);
    let told = watch(&agent, told["next"].as_i64().unwrap()).await;
    assert_eq!((&told["kill"], &told["cancel"]), (&json!([held.run]), &json!([])));
    let renewed = agent.post(&held, "renew", &json!({})).await.expect(200).json();
    assert_eq!(renewed["kill"], true);
}

#[tokio::test]
async fn a_drained_agent_gets_nothing() {
    let house = House::start().await;
    let configuration = prepare(&house, "net").await;
    let agent = FakeAgent::join(&house).await;
    house.send(Method::POST, &format!("/agents/{}/drain", agent.id), &house.admin, None).await;
    make(&house, "net", &configuration, &json!({})).await;
    agent.ask(&claim(), 0).await.expect(204);
    assert_eq!(watch(&agent, 0).await["drain"], true);
    FakeAgent::join(&house).await.claim().await;
}

#[tokio::test]
async fn bad_requests_are_refused() {
    let house = House::start().await;
    let (agent, held) = claimed(&house, &json!({})).await;
    agent.ask("nonsense", 0).await.expect_problem(422, "invalid");
    let unknown = json!({"claim": claim(), "hold_seconds": 0, "pool": "x"});
    House::read(agent.request(Method::POST, "/claims").json(&unknown)).await.expect_problem(422, "invalid");
    House::read(agent.request(Method::GET, "/watch?since=1")).await.expect_problem(400, "malformed");
    let configuration = agent.get(&held, "configuration").await.expect(200);
    assert_eq!(configuration.headers["nigari-digest"], held.all["configuration_digest"].as_str().unwrap());
}
