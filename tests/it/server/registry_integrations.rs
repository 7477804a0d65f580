//! Registry integrations over HTTP: what is taken, what is refused, what is never shown.

use serde_json::{Value, json};
use support::canary::Canary;
use support::registry::Registry;
use support::search::Search;

use super::house::House;

/// A body that is taken, with changes.
fn body(changes: &Value) -> Value {
    let mut body = json!({"name": "team", "url": "https://ghcr.io", "username": "bot", "secret": "hunter22"});
    for (field, value) in changes.as_object().unwrap() {
        body[field] = value.clone();
    }
    body
}

/// A certificate of a private authority.
fn ca() -> String {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    parameters.self_signed(&key).unwrap().pem()
}

#[tokio::test]
async fn a_secret_goes_in_and_never_comes_out() {
    let house = House::start().await;
    let canary = Canary::hard("bot");
    let mut said = Vec::new();
    let new = body(&json!({"secret": canary.password}));
    said.push(house.post("/registry-integrations", new.clone()).await.expect(201));
    said.push(house.post("/registry-integrations", new).await.expect(409));
    for change in [json!({"secret": canary.password}), json!({"secret": format!("{}\n", canary.password)})] {
        said.push(house.patch("/registry-integrations/team", change).await);
    }
    said.push(house.patch("/registry-integrations/team", json!({"name": {"x": canary.password}})).await.expect(422));
    said.push(house.patch("/registry-integrations/team", json!({"disabled": canary.password})).await.expect(422));
    said.push(house.patch("/registry-integrations/team", json!({ canary.password.clone(): 1 })).await.expect(422));
    for path in ["/registry-integrations", "/registry-integrations/team", "/audit", "/tokens"] {
        said.push(house.get(path).await.expect(200));
    }
    let mut search = Search::new(&[canary]);
    for answer in &said {
        search.bytes("answer", format!("{:?}", answer.headers).as_bytes());
        search.bytes("answer", answer.text.as_bytes());
    }
    search.directory(house.directory.path());
    assert!(search.verdict().unwrap() > 100_000);
}

#[tokio::test]
async fn what_cannot_be_a_registry_is_refused_with_a_hint() {
    let house = House::start().await;
    for (changes, field) in [
        (json!({"url": "http://ghcr.io"}), "url"),
        (json!({"url": "https://u:p@ghcr.io"}), "url"),
        (json!({"url": "https://ghcr.io?x=1"}), "url"),
        (json!({"url": "https://ghcr.io/Team"}), "url"),
        (json!({"url": "https://ghcr.io/team:1.0"}), "url"),
        (json!({"url": ""}), "url"),
        (json!({"url": format!("https://ghcr.io/{}", "a".repeat(512))}), "url"),
        (json!({"name": ""}), "name"),
        (json!({"name": "a/b"}), "name"),
        (json!({"name": "a".repeat(129)}), "name"),
        (json!({"username": ""}), "username"),
        (json!({"username": "a:b"}), "username"),
        (json!({"username": "a\u{0}"}), "username"),
        (json!({"secret": ""}), "secret"),
        (json!({"secret": "a\n"}), "secret"),
        (json!({"secret": "a\u{0}b"}), "secret"),
        (json!({"secret": "a".repeat(16 * 1024 + 1)}), "secret"),
        (json!({"ca_pem": "not PEM"}), "ca_pem"),
        (json!({"ca_pem": rcgen::KeyPair::generate().unwrap().serialize_pem()}), "ca_pem"),
        (json!({"ca_pem": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"}), "ca_pem"),
        (json!({"ca_pem": "-".repeat(65 * 1024)}), "ca_pem"),
        (json!({"ca_pem": format!("\u{0}\n{}", ca())}), "ca_pem"),
    ] {
        let answer = house.post("/registry-integrations", body(&changes)).await.expect_problem(422, "invalid");
        assert!(answer.field("detail").contains(&format!("`{field}`")), "{changes}: {answer:?}");
        // What a broken certificate's bytes mean nobody can say.
        assert!(answer.json()["hint"].is_string() || field == "ca_pem", "{changes}: {answer:?}");
    }
    assert_eq!(house.get("/registry-integrations").await.json()["items"], json!([]));
}

#[tokio::test]
async fn what_an_integration_permits_is_off_unless_said_and_needs_no_secret_again() {
    let house = House::start().await;
    let made = house.post("/registry-integrations", body(&json!({}))).await.expect(201);
    assert_eq!((made.field("permit_file"), made.field("permit_whole_run")), ("false".into(), "false".into()));
    let changed = house.patch("/registry-integrations/team", json!({"permit_file": true})).await.expect(200);
    assert_eq!((changed.field("permit_file"), changed.field("permit_whole_run")), ("true".into(), "false".into()));
    let all = json!({"permit_file": false, "permit_whole_run": true});
    let changed = house.patch("/registry-integrations/team", all).await.expect(200);
    assert_eq!((changed.field("permit_file"), changed.field("permit_whole_run")), ("false".into(), "true".into()));
    for field in ["permit_file", "permit_whole_run"] {
        for wrong in [json!("yes"), json!(1), json!([true])] {
            let answer = house.patch("/registry-integrations/team", json!({ field: wrong })).await;
            assert!(answer.expect_problem(422, "invalid").field("detail").contains(field), "{field}: {wrong}");
        }
    }
    let audit = house.get("/audit?limit=500").await.expect(200).text;
    assert!(audit.contains("\"permit_file\":true") && audit.contains("\"permit_whole_run\":true"), "{audit}");
}

#[tokio::test]
async fn odd_secrets_are_taken() {
    let house = House::start().await;
    for (number, secret) in ["a:b", "${x}", "%{ if }", "\"'\\", "pä🔑", " a "].into_iter().enumerate() {
        let changes =
            json!({"name": format!("n{number}"), "url": format!("https://r{number}.example"), "secret": secret});
        house.post("/registry-integrations", body(&changes)).await.expect(201);
    }
}

#[tokio::test]
async fn host_and_path_are_taken_once_however_they_are_spelt() {
    let house = House::start().await;
    house.post("/registry-integrations", body(&json!({}))).await.expect(201);
    house.post("/registry-integrations", body(&json!({"name": "p", "url": "ghcr.io/team/"}))).await.expect(201);
    house.post("/registry-integrations", body(&json!({"name": "hub", "url": "docker.io"}))).await.expect(201);
    for (url, other) in [
        ("https://GHCR.io:443/", "team"),
        ("ghcr.io/v2/", "team"),
        ("https://ghcr.io/team", "p"),
        ("https://index.docker.io/v1/", "hub"),
        ("hub.docker.com", "hub"),
        ("registry-1.docker.io", "hub"),
    ] {
        let answer = house.post("/registry-integrations", body(&json!({"name": "x", "url": url}))).await;
        let answer = answer.expect_problem(409, "conflict");
        assert!(answer.field("detail").contains(&format!("`{other}`")), "{url}: {answer:?}");
        let answer = house.patch("/registry-integrations/p", json!({"url": url, "secret": "s"})).await;
        assert_eq!(answer.status.as_u16(), if other == "p" { 200 } else { 409 }, "{url}: {answer:?}");
    }
    let answer = house.post("/registry-integrations", body(&json!({"url": "quay.io"}))).await;
    assert!(answer.expect_problem(409, "conflict").field("detail").contains("`team`"));
}

#[tokio::test]
async fn docker_hub_says_how_module_sources_spell_it() {
    let house = House::start().await;
    let answer = house.post("/registry-integrations", body(&json!({"url": "docker.io"}))).await.expect(201);
    assert_eq!(answer.field("address"), "registry-1.docker.io");
    assert!(answer.json()["notes"][0].as_str().unwrap().contains("oci://registry-1.docker.io/"), "{answer:?}");
}

#[tokio::test]
async fn export_is_off_until_somebody_switches_it_on() {
    let house = House::start().await;
    let answer = house.post("/registry-integrations", body(&json!({}))).await.expect(201);
    assert_eq!(answer.field("export_credentials"), "false");
    let answer = house.patch("/registry-integrations/team", json!({"export_credentials": true})).await.expect(200);
    assert_eq!((answer.field("export_credentials"), answer.field("secret_version")), ("true".into(), "1".into()));
}

#[tokio::test]
async fn a_change_of_where_the_secret_goes_demands_it_again() {
    let house = House::start().await;
    house.post("/registry-integrations", body(&json!({}))).await.expect(201);
    for change in [
        json!({"url": "https://evil.example"}),
        json!({"url": "https://ghcr.io/team"}),
        json!({"url": "https://ghcr.io:444"}),
        json!({"username": "other"}),
        json!({"ca_pem": ca()}),
    ] {
        let answer = house.patch("/registry-integrations/team", change.clone()).await.expect_problem(422, "invalid");
        assert!(answer.field("detail").contains("`secret`"), "{answer:?}");
        let mut with = change;
        with["secret"] = json!("again");
        house.patch("/registry-integrations/team", with).await.expect(200);
    }
    // The same in another spelling is no change.
    let same = json!({"url": "GHCR.io:444/", "username": "other"});
    house.patch("/registry-integrations/team", same).await.expect(200);
    let answer = house.patch("/registry-integrations/team", json!({"ca_pem": ""})).await.expect_problem(422, "invalid");
    assert!(answer.field("detail").contains("`secret`"), "{answer:?}");
    let answer = house.patch("/registry-integrations/team", json!({"ca_pem": "", "secret": "x"})).await.expect(200);
    assert_eq!(answer.json()["ca_pem"], Value::Null);
}

#[tokio::test]
async fn several_certificates_are_taken() {
    let house = House::start().await;
    let pem = format!("{}{}", ca(), ca());
    let answer = house.post("/registry-integrations", body(&json!({"ca_pem": pem}))).await.expect(201);
    assert_eq!(answer.field("ca_pem"), pem);
}

#[tokio::test]
async fn if_match_guards_a_change() {
    let house = House::start().await;
    let made = house.post("/registry-integrations", body(&json!({}))).await.expect(201);
    let old = made.headers["etag"].clone();
    let path = format!("/registry-integrations/{}", made.field("id"));
    let change = |tag: &reqwest::header::HeaderValue| {
        let request = house.request(reqwest::Method::PATCH, &path).header("if-match", tag);
        House::read(request.json(&json!({"disabled": true})))
    };
    let new = change(&old).await.expect(200).headers["etag"].clone();
    change(&old).await.expect_problem(412, "precondition_failed");
    change(&new).await.expect(200);
    let request = house.request(reqwest::Method::DELETE, &path).header("if-match", old);
    House::read(request).await.expect_problem(412, "precondition_failed");
    house.delete(&path).await.expect(204);
    house.delete(&path).await.expect_problem(404, "not_found");
}

#[tokio::test]
async fn a_test_of_an_unreachable_registry_is_told_and_kept() {
    let house = House::start().await;
    // A free port that nobody listens on.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{port}");
    house.post("/registry-integrations", body(&json!({"url": url}))).await.expect(201);
    let answer = house.post("/registry-integrations/team/test", json!({})).await.expect(200);
    assert_eq!(answer.field("verdict"), "unreachable", "{answer:?}");
    let kept = house.get("/registry-integrations/team").await.expect(200);
    assert_eq!(kept.json()["last_test"]["verdict"], "unreachable");
    let changed = house.patch("/registry-integrations/team", json!({"secret": "new"})).await.expect(200);
    assert_eq!(changed.json()["last_test"], Value::Null);
    for repository in ["", "a\nb"] {
        let request = json!({ "repository": repository });
        house.post("/registry-integrations/team/test", request).await.expect_problem(422, "invalid");
    }
}

#[tokio::test]
async fn what_names_no_repository_is_refused_and_is_no_result_of_a_test() {
    let house = House::start().await;
    house.post("/registry-integrations", body(&json!({"url": "https://127.0.0.1:9"}))).await.expect(201);
    for (repository, hint) in [
        ("Team/Net", "`team/net`"),
        ("r.example:5000/team/net:1.0.0", "`team/net`"),
        ("oci://127.0.0.1:9/team/net", "`team/net`"),
        ("127.0.0.1:9/team/net:1.0.0", "leave `127.0.0.1:9/` out"),
    ] {
        let request = json!({ "repository": repository });
        let answer = house.post("/registry-integrations/team/test", request).await.expect_problem(422, "invalid");
        assert!(answer.field("detail").contains("`repository`"), "{repository}: {answer:?}");
        assert!(answer.field("hint").contains(hint), "{repository}: {answer:?}");
    }
    assert_eq!(house.get("/registry-integrations/team").await.json()["last_test"], Value::Null);
    let audit = house.get("/audit").await.expect(200).text;
    assert!(!audit.contains("registry_integration:test"), "{audit}");
}

#[tokio::test]
async fn a_row_changed_behind_our_back_does_not_open() {
    let house = House::start().await;
    house.post("/registry-integrations", body(&json!({"url": "https://127.0.0.1:9"}))).await.expect(201);
    let row = {
        let mut connection = house.state.store.read().await.unwrap();
        nigari::server::store::registry_integrations::find(&mut connection, "team").await.unwrap().unwrap()
    };
    let mut transaction = house.state.store.begin_write().await.unwrap();
    let row = nigari::server::store::registry_integrations::IntegrationRow {
        address: "127.0.0.1:10".parse().unwrap(),
        ..row
    };
    nigari::server::store::registry_integrations::update(&mut transaction, &row).await.unwrap();
    transaction.commit().await.unwrap();
    let answer = house.post("/registry-integrations/team/test", json!({})).await.expect_problem(500, "internal");
    assert!(!answer.text.contains("hunter22"));
}

#[tokio::test]
async fn a_test_against_a_real_registry_uses_the_stored_secret_and_ca() {
    let Some(program) = support::require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let canary = Canary::hard("alice");
    let registry = Registry::start(&program, directory.path(), &canary.user, &canary.password).unwrap();
    let house = House::start().await;
    let ca_pem = std::fs::read_to_string(registry.ca_file()).unwrap();
    let new = json!({
        "name": "real", "url": format!("https://{}", registry.host()), "username": canary.user,
        "secret": canary.password, "ca_pem": ca_pem,
    });
    house.post("/registry-integrations", new).await.expect(201);
    let mut said = Vec::new();
    for (change, verdict) in [
        (json!({}), "ok"),
        (json!({"secret": "wrong"}), "denied"),
        (json!({"secret": canary.password, "ca_pem": ""}), "tls"),
        (json!({"secret": canary.password, "ca_pem": ca_pem}), "ok"),
    ] {
        house.patch("/registry-integrations/real", change).await.expect(200);
        let answer = house.post("/registry-integrations/real/test", json!({})).await.expect(200);
        assert_eq!(answer.field("verdict"), verdict, "{answer:?}");
        said.push(answer.text);
    }
    said.push(house.get("/registry-integrations/real").await.text);
    said.push(house.get("/audit").await.text);
    let mut search = Search::new(&[canary]);
    search.bytes("answers", said.join("\n").as_bytes());
    search.directory(house.directory.path());
    search.verdict().unwrap();
}
