//! The token service that an integration's secret is held to: kept by the first test that succeeds by one, given along
//! with the secret, and changed by nobody who does not give the secret anew.

use std::sync::{Arc, Mutex};

use nigari::protocol::id::RequestId;
use serde_json::{Value, json};

use super::house::{Answer, House};
use super::runs::claimed;
use crate::registry::stage::{Act, Authority, PASSWORD, Stage, USER, answer, bearer};

/// A registry, the token services that it may name, and a server with an integration for it.
struct Scene {
    house: House,
    registry: Stage,
    services: [Stage; 2],
    /// The port of the token service that the registry names.
    named: Arc<Mutex<u16>>,
}

impl Scene {
    async fn start() -> Self {
        let authority = Authority::new();
        let service = || Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], r#"{"token":"abc"}"#)));
        let services = [service().await, service().await];
        let named = Arc::new(Mutex::new(services[0].port));
        let port = Arc::clone(&named);
        let registry = Stage::start(&authority, move |heard| {
            Act::Say(match heard.authorization() {
                Some("Bearer abc") => answer("200 OK", &[], "{}"),
                _ => bearer(&format!("https://localhost:{}/token", *port.lock().unwrap())),
            })
        })
        .await;
        let house = House::start().await;
        let new = json!({
            "name": "team", "url": format!("https://{}", registry.host()), "username": USER, "secret": PASSWORD,
            "export_credentials": true, "ca_pem": authority.pem,
        });
        assert_eq!(house.post("/registry-integrations", new).await.expect(201).json()["token_service"], Value::Null);
        Self { house, registry, services, named }
    }

    /// What the registry names from now on.
    fn name(&self, service: usize) {
        *self.named.lock().unwrap() = self.services[service].port;
    }

    fn origin(&self, service: usize) -> String {
        format!("https://{}", self.services[service].host())
    }

    async fn test(&self) -> Answer {
        self.house.post("/registry-integrations/team/test", json!({})).await
    }

    async fn kept(&self) -> Value {
        self.house.get("/registry-integrations/team").await.expect(200).json()["token_service"].clone()
    }

    async fn change(&self, change: Value) {
        self.house.patch("/registry-integrations/team", change).await.expect(200);
    }
}

#[tokio::test]
async fn the_first_good_test_holds_the_secret_to_its_token_service_until_the_secret_is_given_again() {
    let scene = Scene::start().await;
    assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
    assert_eq!(scene.kept().await, scene.origin(0));
    // Again, with the secret as it is sealed by now.
    assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
    scene.name(1);
    scene.change(json!({"permit_file": true, "name": "team"})).await;
    let refused = scene.test().await.expect(200);
    assert_eq!(refused.field("verdict"), "registry_fault", "{refused:?}");
    assert!(refused.field("message").contains(&format!("`{}`", scene.origin(1))), "{refused:?}");
    assert!(refused.field("message").contains(&format!("`{}`", scene.origin(0))), "{refused:?}");
    assert!(refused.field("hint").contains("nigari registry update"), "{refused:?}");
    assert!(scene.services[1].heard().is_empty(), "{:?}", scene.services[1].heard());
    assert_eq!(scene.kept().await, scene.origin(0));
    scene.change(json!({"secret": PASSWORD})).await;
    assert_eq!(scene.kept().await, Value::Null);
    assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
    assert_eq!(scene.kept().await, scene.origin(1));
    // Another address means another secret, and so another service.
    let url = format!("https://{}/team", scene.registry.host());
    scene.change(json!({"url": url, "secret": PASSWORD})).await;
    assert_eq!(scene.kept().await, Value::Null);
    let audit = scene.house.get("/audit?limit=500").await.expect(200).json();
    let records = audit["items"].as_array().unwrap().iter();
    let held: Vec<_> = records.filter(|record| record["action"] == "registry_integration:hold").collect();
    let services: Vec<_> = held.iter().map(|record| record["particulars"]["token_service"].clone()).collect();
    assert_eq!(services, [json!(scene.origin(0)), json!(scene.origin(1))]);
}

#[tokio::test]
async fn whoever_can_only_write_the_database_sends_the_secret_to_no_other_token_service() {
    let scene = Scene::start().await;
    assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
    scene.name(1);
    for forged in [format!("'{}'", scene.origin(1)), "NULL".to_owned(), "''".to_owned()] {
        scene.house.sql(&format!("UPDATE registry_integrations SET token_service = {forged}")).await;
        scene.test().await.expect_problem(500, "internal");
        assert!(scene.services[1].heard().is_empty(), "{forged}: {:?}", scene.services[1].heard());
    }
    let (agent, held) = claimed(&scene.house, &json!({})).await;
    agent.step(&held, "fetch").await.expect(204);
    let released = agent.credentials(&held, &RequestId::generate().to_string()).await.expect(200);
    assert_eq!(released.json()["withheld"][0]["reason"], "unreadable", "{released:?}");
    assert!(!released.text.contains(PASSWORD));
    // What is not forged opens again.
    scene.name(0);
    scene.house.sql(&format!("UPDATE registry_integrations SET token_service = '{}'", scene.origin(0))).await;
    assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
}

#[tokio::test]
async fn a_run_gets_the_token_service_along_with_the_secret() {
    for is_tested in [false, true] {
        let scene = Scene::start().await;
        let mut expected = Value::Null;
        if is_tested {
            assert_eq!(scene.test().await.expect(200).field("verdict"), "ok");
            expected = json!(scene.origin(0));
        }
        let (agent, held) = claimed(&scene.house, &json!({})).await;
        agent.step(&held, "fetch").await.expect(204);
        let released = agent.credentials(&held, &RequestId::generate().to_string()).await.expect(200).json();
        assert_eq!(released["credentials"][0]["secret"], PASSWORD, "{is_tested}");
        assert_eq!(released["credentials"][0]["token_service"], expected, "{is_tested}");
    }
}
