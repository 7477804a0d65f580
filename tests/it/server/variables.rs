//! Variables over HTTP, and a run's snapshot of them.

use nigari::protocol::api::Configuration;
use nigari::protocol::id::{ConfigurationId, RunId};
use nigari::protocol::run::{RunKind, Step};
use nigari::server::api::variables::SnapshotOf;
use nigari::server::api::{UserActor, variables};
use nigari::server::policy::{AgentLease, Protected, Role};
use nigari::server::vault::Sealed;
use serde_json::json;
use support::canary::Canary;
use support::search::Search;

use super::house::House;
use crate::refused_names::{FILES, REFUSED};

#[tokio::test]
async fn a_sensitive_value_is_never_shown() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "w"})).await.expect(201);
    let canary = Canary::hard("");
    let path = "/workspaces/w/variables";
    house.put(&format!("{path}/env/A"), json!({"value": canary.password, "sensitive": true})).await.expect(204);
    house.put(&format!("{path}/tofu/b-c"), json!({"value": "shown \"€\""})).await.expect(204);
    let listed = house.get(path).await.expect(200);
    let items = listed.json()["items"].clone();
    assert_eq!((&items[0]["name"], &items[0]["value"]), (&json!("A"), &json!(null)));
    assert_eq!((&items[1]["name"], &items[1]["value"]), (&json!("b-c"), &json!("shown \"€\"")));
    let audit = house.get("/audit").await.expect(200);
    let mut search = Search::new(&[canary]);
    search.bytes("list", listed.text.as_bytes());
    search.bytes("audit", audit.text.as_bytes());
    search.directory(house.directory.path());
    search.verdict().unwrap();
}

#[tokio::test]
async fn a_variable_is_set_again_and_removed() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "w"})).await.expect(201);
    for value in ["1", "2", ""] {
        house.put("/workspaces/w/variables/tofu/a", json!({ "value": value })).await.expect(204);
        let items = house.get("/workspaces/w/variables").await.json()["items"].clone();
        assert_eq!((items.as_array().unwrap().len(), &items[0]["value"]), (1, &json!(value)));
    }
    house.delete("/workspaces/w/variables/tofu/a").await.expect(204);
    house.delete("/workspaces/w/variables/tofu/a").await.expect_problem(404, "not_found");
    house.put("/workspaces/none/variables/tofu/a", json!({"value": ""})).await.expect_problem(404, "not_found");
    house.put("/workspaces/w/variables/magic/a", json!({"value": ""})).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_file_is_sensitive_unless_said_and_has_its_name_alone() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "w"})).await.expect(201);
    let path = "/workspaces/w/variables";
    house.put(&format!("{path}/file/KUBE_CONFIG_PATH"), json!({"value": "a: b\n"})).await.expect(204);
    house.put(&format!("{path}/file/CA_FILE"), json!({"value": "x\u{0}\n", "sensitive": false})).await.expect(204);
    let items = house.get(path).await.json()["items"].clone();
    assert_eq!((&items[0]["name"], &items[0]["value"]), (&json!("CA_FILE"), &json!("x\u{0}\n")));
    assert_eq!((&items[1]["sensitive"], &items[1]["value"]), (&json!(true), &json!(null)));
    let answer = house.put(&format!("{path}/env/CA_FILE"), json!({"value": "x"})).await;
    assert!(answer.expect_problem(409, "conflict").field("hint").contains("--kind file"));
    house.put(&format!("{path}/env/B"), json!({"value": "x"})).await.expect(204);
    house.put(&format!("{path}/file/B"), json!({"value": "x"})).await.expect_problem(409, "conflict");
    // An input variable is another thing.
    house.put(&format!("{path}/tofu/B"), json!({"value": "x"})).await.expect(204);
}

#[tokio::test]
async fn names_and_values_that_no_run_may_have_are_refused() {
    let house = House::start().await;
    house.post("/workspaces", json!({"name": "w"})).await.expect(201);
    for (name, _) in REFUSED {
        for kind in ["env", "file"] {
            let path = format!("/workspaces/w/variables/{kind}/{}", name.replace(' ', "%20"));
            let answer = house.put(&path, json!({"value": "x"})).await;
            if kind == "file" && FILES.contains(name) {
                answer.expect(204);
                house.delete(&path).await.expect(204);
                continue;
            }
            let answer = answer.expect_problem(422, "invalid");
            assert!(answer.json()["hint"].is_string() && answer.field("detail").contains(name), "{answer:?}");
        }
    }
    house.put("/workspaces/w/variables/tofu/TF_VAR_a%20b", json!({"value": "x"})).await.expect_problem(422, "invalid");
    for value in [json!("a\u{0}"), json!("x".repeat(128 * 1024)), json!(1), json!(null)] {
        let body = json!({ "value": value });
        let answer = house.put("/workspaces/w/variables/env/A", body).await.expect_problem(422, "invalid");
        assert!(answer.field("detail").contains("`value`"), "{answer:?}");
    }
    for number in 0..8 {
        let path = format!("/workspaces/w/variables/env/A{number}");
        house.put(&path, json!({"value": "x".repeat(126 * 1024)})).await.expect(204);
    }
    let answer = house.put("/workspaces/w/variables/env/B", json!({"value": "x".repeat(126 * 1024)})).await;
    assert!(answer.expect_problem(422, "invalid").field("detail").contains("together"));
}

#[tokio::test]
async fn a_snapshot_holds_what_was_there_and_opens_for_its_run_alone() {
    let house = House::start().await;
    let workspace = house.post("/workspaces", json!({"name": "w"})).await.expect(201).field("id").parse().unwrap();
    house.put("/workspaces/w/variables/env/A", json!({"value": "1", "sensitive": true})).await.expect(204);
    let token = house.get("/whoami").await.field("token").parse().unwrap();
    let user = UserActor { token, name: "admin".to_owned(), role: Role::Admin, expires_at: None };
    let configuration = Configuration {
        id: ConfigurationId::generate(),
        workspace,
        digest: "a".repeat(64),
        bytes: 1,
        working_directory: String::new(),
        created_at: 0,
    };
    let of =
        SnapshotOf { run: RunId::generate(), kind: RunKind::Apply, auto_apply: false, configuration: &configuration };
    let mut transaction = house.state.store.begin_write().await.unwrap();
    let sealed = variables::snapshot(&house.state, &mut transaction, &user, (workspace, &of)).await.unwrap();
    drop(transaction);
    house.put("/workspaces/w/variables/env/A", json!({"value": "2"})).await.expect(204);
    let step = Some(Step::Init);
    let lease = AgentLease { presented_epoch: 1, current_epoch: 1, live: true, step, whole_run: false };
    let permit = lease.open(Protected::RunVariables).unwrap();
    let sealed = Sealed::from_bytes(sealed.into_bytes());
    let opened = variables::open_snapshot(&house.state, &permit, &of, &sealed).unwrap();
    assert_eq!((opened.len(), opened[0].name.as_str(), opened[0].value.expose()), (1, "A", "1"));
    assert!(opened[0].sensitive);
    let another = Configuration { id: ConfigurationId::generate(), ..configuration.clone() };
    let other_bytes = Configuration { digest: "b".repeat(64), ..configuration.clone() };
    let elsewhere = Configuration { working_directory: "elsewhere".to_owned(), ..configuration.clone() };
    for other in [
        SnapshotOf { run: RunId::generate(), ..of },
        SnapshotOf { kind: RunKind::Destroy, ..of },
        SnapshotOf { auto_apply: true, ..of },
        SnapshotOf { configuration: &another, ..of },
        SnapshotOf { configuration: &other_bytes, ..of },
        SnapshotOf { configuration: &elsewhere, ..of },
    ] {
        assert!(variables::open_snapshot(&house.state, &permit, &other, &sealed).is_err(), "{other:?}");
    }
}
