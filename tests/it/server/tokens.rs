//! Tokens over HTTP: made, used, expired, revoked; and how agents join.

use std::time::Duration;

use nigari::protocol::api::TokenKind;
use nigari::server::store::tokens;
use reqwest::Method;
use serde_json::{Value, json};

use super::house::{Answer, House};

fn introduction(changes: &Value) -> Value {
    let mut request = json!({
        "protocol_min": 1, "protocol_max": 1, "name": "host", "version": "0.1.0", "concurrency": 2,
        "tofu_version": "1.12.6", "run_root": "/run/nigari",
    });
    for (field, value) in changes.as_object().unwrap() {
        request[field] = value.clone();
    }
    request
}

async fn join(house: &House, token: &str) -> Answer {
    house.send(Method::POST, "/agent/session", token, Some(&introduction(&json!({})))).await
}

#[tokio::test]
async fn a_token_is_shown_once_and_works_until_it_expires() {
    let house = House::start().await;
    let made = house.post("/tokens", json!({"name": "ci", "expires_in_seconds": 60})).await.expect(201);
    let text = made.field("text");
    assert!(text.starts_with("ngr_user_"), "{text}");
    house.send(Method::GET, "/whoami", &text, None).await.expect(200);
    let listed = house.get("/tokens").await.expect(200);
    let secret = text.rsplit('_').next().unwrap();
    assert!(listed.text.contains(&made.field("id")) && !listed.text.contains(secret));
    assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2);
    house.clock.advance(Duration::from_secs(59));
    house.send(Method::GET, "/whoami", &text, None).await.expect(200);
    house.clock.advance(Duration::from_secs(2));
    let refused = house.send(Method::GET, "/whoami", &text, None).await.expect_problem(401, "unauthorized");
    assert!(refused.field("detail").contains("expired"));
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
}

#[tokio::test]
async fn a_revoked_token_ends_at_once() {
    let house = House::start().await;
    let made = house.post("/tokens", json!({"name": "ci"})).await.expect(201);
    let path = format!("/tokens/{}", made.field("id"));
    house.delete(&path).await.expect(204);
    house.delete(&path).await.expect(204);
    let refused = house.send(Method::GET, "/whoami", &made.field("text"), None).await;
    assert!(refused.expect_problem(401, "unauthorized").field("detail").contains("revoked"));
    let revoked = house.get("/audit").await.json()["items"].clone();
    let revoked = revoked.as_array().unwrap().iter().filter(|record| record["action"] == "token:revoke").count();
    assert_eq!(revoked, 1);
}

#[tokio::test]
async fn the_last_token_is_kept() {
    let house = House::start().await;
    let own = house.get("/whoami").await.field("token");
    house.delete(&format!("/tokens/{own}")).await.expect_problem(409, "conflict");
    let made = house.post("/tokens", json!({"name": "next", "expires_in_seconds": 1})).await.expect(201);
    house.clock.advance(Duration::from_secs(2));
    house.delete(&format!("/tokens/{own}")).await.expect_problem(409, "conflict");
    assert_ne!(made.field("id"), own);
    house.post("/tokens", json!({"name": "next"})).await.expect(201);
    house.delete(&format!("/tokens/{own}")).await.expect(204);
    house.get("/whoami").await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn wishes_that_make_no_sense_are_refused() {
    let house = House::start().await;
    for wish in [
        json!({"name": ""}),
        json!({"name": "a", "expires_in_seconds": 0}),
        json!({"name": "a", "expires_in_seconds": u64::MAX}),
        json!({"name": "a", "expires_in_seconds": -1}),
        json!({"name": "a", "role": "root"}),
        json!({"name": "a", "kind": "agent"}),
    ] {
        house.post("/tokens", wish).await.expect_problem(422, "invalid");
    }
    for wish in [json!({"name": "a", "uses": 0}), json!({"name": "a", "pool": "gpu"}), json!({"name": "a", "uses": -1})]
    {
        house.post("/join-tokens", wish).await.expect_problem(422, "invalid");
    }
    for path in ["/tokens/x", "/tokens/tok-00000000000000000000000000000000", "/join-tokens/%2e%2e"] {
        house.delete(path).await.expect_problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_join_token_is_good_for_its_uses_even_when_they_race() {
    let house = House::start().await;
    let made = house.post("/join-tokens", json!({"name": "three", "uses": 3})).await.expect(201);
    let text = made.field("text");
    let answers = futures_util::future::join_all((0..8).map(|_| join(&house, &text))).await;
    let joined = answers.iter().filter(|answer| answer.status.as_u16() == 200).count();
    assert_eq!(joined, 3, "{answers:?}");
    assert!(answers.iter().all(|answer| matches!(answer.status.as_u16(), 200 | 401)));
    let listed = house.get("/join-tokens").await.json();
    let left = listed["items"].as_array().unwrap().iter().find(|token| token["name"] == "three").unwrap();
    assert_eq!(left["uses_left"], 0);
}

#[tokio::test]
async fn the_identity_opens_sessions_and_each_ends_the_one_before() {
    let house = House::start().await;
    let first = join(&house, &house.join).await.expect(200);
    let identity = first.field("identity");
    let second = join(&house, &identity).await.expect(200);
    assert_eq!((second.field("agent"), second.json()["identity"].clone()), (first.field("agent"), Value::Null));
    assert_eq!((second.field("pool_name"), second.field("lease_seconds")), ("default".into(), "60".into()));
    let agents = house.get("/agents").await.expect(200).json()["items"].clone();
    assert_eq!((agents.as_array().unwrap().len(), &agents[0]["status"]), (1, &json!("online")));
    let mut connection = house.state.store.read().await.unwrap();
    let kept = tokens::list(&mut connection, TokenKind::Session);
    assert_eq!(kept.await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_agent_goes_offline_and_drains() {
    let house = House::start().await;
    let agent = join(&house, &house.join).await.expect(200);
    let status = async || house.get("/agents").await.expect(200).json()["items"][0]["status"].clone();
    let path = format!("/agents/{}/drain", agent.field("agent"));
    house.post(&path, json!({})).await.expect(200);
    assert_eq!(status().await, "draining");
    house.post("/agents/host/drain", json!({})).await.expect(200);
    join(&house, &agent.field("identity")).await.expect(200);
    assert_eq!(status().await, "draining");
    house.delete(&path).await.expect(200);
    assert_eq!(status().await, "online");
    house.clock.advance(Duration::from_hours(1));
    assert_eq!(status().await, "offline");
    house.post("/agents/other/drain", json!({})).await.expect_problem(404, "not_found");
    join(&house, &house.join).await.expect(200);
    house.post("/agents/host/drain", json!({})).await.expect_problem(409, "conflict");
}

#[tokio::test]
async fn an_introduction_that_makes_no_sense_is_refused_and_costs_no_use() {
    let house = House::start().await;
    let made = house.post("/join-tokens", json!({"name": "once"})).await.expect(201).field("text");
    for (changes, status, code) in [
        (json!({"protocol_min": 2, "protocol_max": 9}), 409, "protocol_mismatch"),
        (json!({"protocol_min": 0, "protocol_max": 0}), 409, "protocol_mismatch"),
        (json!({"name": ""}), 422, "invalid"),
        (json!({"name": "a\u{0}"}), 422, "invalid"),
        (json!({"concurrency": 0}), 422, "invalid"),
        (json!({"concurrency": 1_000_000}), 422, "invalid"),
        (json!({"run_root": "run"}), 422, "invalid"),
        (json!({"version": ""}), 422, "invalid"),
        (json!({"tofu_version": "1\n2"}), 422, "invalid"),
        (json!({"colour": "red"}), 422, "invalid"),
    ] {
        let answer = house.send(Method::POST, "/agent/session", &made, Some(&introduction(&changes))).await;
        answer.expect_problem(status, code);
    }
    join(&house, &made).await.expect(200);
    join(&house, &made).await.expect_problem(401, "unauthorized");
}

#[tokio::test]
async fn use_is_written_down_in_one_go() {
    let house = House::start().await;
    let own = house.get("/whoami").await.field("token");
    let seen = house.get("/tokens").await.json()["items"][0].clone();
    assert!(seen["last_used_at"].as_i64().is_some_and(|at| at % 60_000_000 == 0), "{seen}");
    house.state.presence.write_down(&house.state.store).await.unwrap();
    let mut connection = house.state.store.read().await.unwrap();
    let kept = tokens::get(&mut connection, own.parse().unwrap());
    assert_eq!(kept.await.unwrap().unwrap().last_used_at, seen["last_used_at"].as_i64());
}

#[tokio::test]
async fn a_token_that_was_changed_in_the_database_is_not_known() {
    let house = House::start().await;
    for change in ["expires_at = NULL", "expires_at = expires_at + 1", "name = 'admin'", "role = 'other'"] {
        let made = house.post("/tokens", json!({"name": "ci", "expires_in_seconds": 60})).await.expect(201);
        house.send(Method::GET, "/whoami", &made.field("text"), None).await.expect(200);
        house.sql(&format!("UPDATE tokens SET {change} WHERE id = '{}'", made.field("id"))).await;
        let refused = house.send(Method::GET, "/whoami", &made.field("text"), None).await;
        refused.expect_problem(401, "unauthorized");
    }
    let opened = join(&house, &house.join).await.expect(200);
    let other = join(&house, &house.join).await.expect(200).field("agent");
    let claim = json!({"claim": nigari::protocol::id::ClaimId::generate(), "hold_seconds": 0});
    let session = opened.field("session");
    house.send(Method::POST, "/agent/claims", &session, Some(&claim)).await.expect(204);
    let id = opened.field("agent");
    house.sql(&format!("UPDATE tokens SET agent_id = '{other}' WHERE agent_id = '{id}'")).await;
    house.send(Method::POST, "/agent/claims", &session, Some(&claim)).await.expect_problem(401, "unauthorized");
    join(&house, &opened.field("identity")).await.expect_problem(401, "unauthorized");
    house.sql("INSERT INTO agent_pools SELECT 'pool-00000000000000000000000000000000', 'x', 1").await;
    house.sql("UPDATE tokens SET pool_id = 'pool-00000000000000000000000000000000'").await;
    join(&house, &house.join).await.expect_problem(401, "unauthorized");
}
