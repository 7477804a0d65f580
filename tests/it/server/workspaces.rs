//! Workspaces over HTTP.

use nigari::protocol::api::StateLock;
use serde_json::json;

use super::house::House;

#[tokio::test]
async fn a_workspace_is_found_by_id_and_by_name() {
    let house = House::start().await;
    let made = house.post("/workspaces", json!({"name": "net.prod-1_x"})).await.expect(201);
    assert_eq!((made.field("pool"), made.field("auto_apply")), ("default".into(), "false".into()));
    for key in [made.field("id"), made.field("name")] {
        let read = house.get(&format!("/workspaces/{key}")).await.expect(200);
        assert_eq!((read.json(), &read.headers["etag"]), (made.json(), &made.headers["etag"]));
    }
    assert_eq!(house.get("/workspaces").await.expect(200).json()["items"], json!([made.json()]));
    house.get("/workspaces/other").await.expect_problem(404, "not_found");
    house.get("/workspaces/%00%0a").await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn names_that_are_taken_or_unfit_are_refused() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "a"})).await.expect(201);
    house.post("/workspaces", json!({"name": "b"})).await.expect(201);
    house.post("/workspaces", json!({"name": "a"})).await.expect_problem(409, "conflict");
    house.patch("/workspaces/b", json!({"name": "a"})).await.expect_problem(409, "conflict");
    house.patch("/workspaces/a", json!({"name": "a", "auto_apply": true})).await.expect(200);
    let id = format!("ws-{}", "0".repeat(32));
    for name in ["", "-a", "a b", "a/b", "..", "ä", id.as_str(), &"a".repeat(129)] {
        let answer = house.post("/workspaces", json!({ "name": name })).await.expect_problem(422, "invalid");
        assert!(answer.field("detail").contains("`name`"), "{answer:?}");
    }
}

#[tokio::test]
async fn a_pool_that_does_not_exist_and_a_field_that_is_none_are_refused() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "a", "pool": "gpu"})).await.expect_problem(422, "invalid");
    house.post("/workspaces", json!({"name": "a", "description": "a\u{0}"})).await.expect_problem(422, "invalid");
    house
        .post("/workspaces", json!({"name": "a", "description": "a".repeat(4097)}))
        .await
        .expect_problem(422, "invalid");
    for wrong in [json!("magic"), json!("FILE"), json!(""), json!(1), json!(null), json!(["file"])] {
        let answer = house.post("/workspaces", json!({"name": "a", "delivery": wrong})).await;
        assert!(answer.expect_problem(422, "invalid").field("detail").contains("delivery"), "{wrong}");
    }
    house.post("/workspaces", json!({"name": "a", "whole_run": "yes"})).await.expect_problem(422, "invalid");
    house.post("/workspaces", json!({})).await.expect_problem(422, "invalid");
    house.post("/workspaces", json!([])).await.expect_problem(422, "invalid");
}

#[tokio::test]
async fn a_workspace_wants_a_delivery_and_the_wish_is_recorded() {
    let house = House::start().await;
    let made = house.post("/workspaces", json!({"name": "a"})).await.expect(201);
    assert_eq!((made.field("delivery"), made.field("whole_run")), ("auto".into(), "false".into()));
    for delivery in ["file", "helper", "broker", "auto"] {
        let answer = house.patch("/workspaces/a", json!({ "delivery": delivery })).await.expect(200);
        assert_eq!(answer.field("delivery"), delivery);
    }
    house.patch("/workspaces/a", json!({"delivery": "file", "whole_run": true})).await.expect(200);
    let kept = house.patch("/workspaces/a", json!({"description": "d"})).await.expect(200);
    assert_eq!((kept.field("delivery"), kept.field("whole_run")), ("file".into(), "true".into()));
    house.patch("/workspaces/a", json!({"delivery": "magic"})).await.expect_problem(422, "invalid");
    let audit = house.get("/audit?limit=500").await.expect(200).text;
    assert!(audit.contains("\"delivery\":\"file\"") && audit.contains("\"whole_run\":true"), "{audit}");
}

#[tokio::test]
async fn a_workspace_in_use_is_not_removed() {
    let house = House::start().await;
    let id = house.post("/workspaces", json!({"name": "a"})).await.expect(201).field("id");
    let lock = serde_json::to_string(&StateLock { id: "l".to_owned(), ..StateLock::default() }).unwrap();
    house.sql(&format!("UPDATE workspaces SET state_lock = '{lock}' WHERE id = '{id}'")).await;
    house.delete("/workspaces/a?force=true").await.expect_problem(409, "conflict");
    house.sql(&format!("UPDATE workspaces SET state_lock = NULL, state_serial = 3 WHERE id = '{id}'")).await;
    house.delete("/workspaces/a").await.expect_problem(409, "conflict");
    house.delete("/workspaces/a?force=perhaps").await.expect_problem(400, "malformed");
    house.delete("/workspaces/a?colour=red").await.expect_problem(400, "malformed");
    house.delete("/workspaces/a?force=true").await.expect(204);
    house.get("/workspaces/a").await.expect_problem(404, "not_found");
}
