//! The listener: TLS, the end of a server, and PostgreSQL beneath it.

use std::time::{Duration, Instant};

use nigari::server::{Server, ServerError};
use nigari::tls;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::house::{House, settings};

#[tokio::test]
async fn tls_is_spoken_with_the_certificate_of_the_settings() {
    tls::install_provider();
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let mut secured = settings(&directory.path().join("state"));
    secured.listen = "0.0.0.0:0".parse().unwrap();
    secured.tls_certificate = Some(certificate.clone());
    secured.tls_key = Some(key);
    let server = Server::bind(secured).await.unwrap();
    let port = server.address().port();
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(server.run(shutdown.clone()));
    let root = reqwest::Certificate::from_pem(made.cert.pem().as_bytes()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]).build().unwrap();
    let answer = client.get(format!("https://localhost:{port}/readyz")).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert!(client.get(format!("http://localhost:{port}/readyz")).send().await.is_err());
    shutdown.cancel();
    running.await.unwrap().unwrap();
    let mut half = settings(directory.path());
    half.tls_certificate = Some(certificate);
    let refused = Server::bind(half).await.unwrap_err();
    assert!(matches!(refused, ServerError::HalfTls), "{refused:?}");
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let house = House::start().await;
    let other = tempfile::tempdir().unwrap();
    let mut same = settings(other.path());
    same.listen = house.origin.strip_prefix("http://").unwrap().parse().unwrap();
    let refused = Server::bind(same).await.unwrap_err();
    assert!(refused.to_string().contains("hint: "), "{refused}");
}

#[tokio::test]
async fn the_end_of_the_server_ends_long_polls() {
    let house = House::start_with(|settings| settings.hold = Duration::from_mins(5)).await;
    let introduction = json!({
        "protocol_min": 1, "protocol_max": 1, "name": "host", "version": "0.1.0", "concurrency": 1,
        "tofu_version": "1.12.6", "run_root": "/run/nigari",
    });
    let opened = house.send(Method::POST, "/agent/session", &house.join, Some(&introduction)).await.expect(200);
    let session = opened.field("session");
    let claim = json!({"claim": nigari::protocol::id::ClaimId::generate(), "hold_seconds": 300});
    let began = Instant::now();
    let poll = house.send(Method::POST, "/agent/claims", &session, Some(&claim));
    let end = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        house.shutdown.cancel();
    };
    let (answer, ()) = tokio::join!(poll, end);
    assert!(matches!(answer.status.as_u16(), 204 | 503), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(20), "the poll was held until {:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_works_on_postgresql_and_knows_its_key_again() {
    let Some(database) = support::postgres::Database::new() else { return };
    let url = database.url();
    let house = House::start_with(|settings| settings.database_url = Some(url.as_str().into())).await;
    let new = json!({"name": "team", "url": "https://ghcr.io", "username": "bot", "secret": "hunter22"});
    house.post("/registry-integrations", new.clone()).await.expect(201);
    house.post("/registry-integrations", new).await.expect_problem(409, "conflict");
    house.post("/workspaces", json!({"name": "w"})).await.expect(201);
    house.put("/workspaces/w/variables/env/A", json!({"value": "1"})).await.expect(204);
    assert_eq!(house.get("/workspaces/w/variables").await.json()["items"][0]["value"], "1");
    assert_eq!(house.get("/agents").await.expect(200).json()["items"], json!([]));
    assert!(house.get("/audit?limit=2").await.expect(200).json()["next"].is_string());
    house.send(Method::GET, "//readyz", "", None).await.expect(200);
    assert!(!house.directory.path().join("nigari.db").exists());
    // A second server of the same database needs the same key.
    let other = tempfile::tempdir().unwrap();
    let second = |key: bool| {
        if key {
            std::fs::copy(house.directory.path().join("root.key"), other.path().join("root.key")).unwrap();
        }
        let mut settings = settings(other.path());
        settings.database_url = Some(url.as_str().into());
        Server::bind(settings)
    };
    assert!(matches!(second(false).await.unwrap_err(), ServerError::Key(_)));
    drop(second(true).await.unwrap());
    assert!(!other.path().join("admin.token").exists());
}

#[tokio::test]
async fn audit_records_come_in_pages_and_name_the_actor() {
    let house = House::start().await;
    for name in ["a", "b", "c"] {
        house.post("/workspaces", json!({ "name": name })).await.expect(201);
    }
    let (mut after, mut seen) = (String::from("0"), Vec::new());
    loop {
        let page = house.get(&format!("/audit?limit=2&after={after}")).await.expect(200).json();
        seen.extend(page["items"].as_array().unwrap().iter().cloned());
        match page["next"].as_str() {
            Some(next) => next.clone_into(&mut after),
            None => break,
        }
    }
    let made: Vec<_> = seen.iter().filter(|record| record["action"] == "workspace:create").collect();
    assert_eq!(made.len(), 3);
    assert_eq!((&made[2]["actor"], &made[2]["particulars"]["name"]), (&json!("user:admin"), &json!("c")));
    house.get("/audit?after=x").await.expect_problem(400, "malformed");
}

/// A connection that has sent this much and then says nothing more.
async fn silent(house: &House, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(house.origin.strip_prefix("http://").unwrap()).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    stream
}

/// Whether the server ends the connection within this time.
async fn ends_within(stream: &mut TcpStream, time: Duration) -> bool {
    let mut rest = Vec::new();
    tokio::time::timeout(time, stream.read_to_end(&mut rest)).await.is_ok()
}

const HALF_A_HEAD: &str = "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nX: ";

#[tokio::test]
async fn a_connection_without_a_valid_token_is_not_kept() {
    let house = House::start().await;
    let whole = "GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n";
    let known = format!("GET /api/v1/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\r\n", house.admin);
    let (mut nothing, mut half) = (silent(&house, "").await, silent(&house, HALF_A_HEAD).await);
    let mut then_half = silent(&house, &format!("{whole}{HALF_A_HEAD}")).await;
    let mut known = silent(&house, &known).await;
    let time = Duration::from_secs(20);
    let ends = tokio::join!(
        ends_within(&mut nothing, time),
        ends_within(&mut half, time),
        ends_within(&mut then_half, time),
        ends_within(&mut known, time)
    );
    assert_eq!(ends, (true, true, true, false));
}

#[tokio::test]
async fn half_open_connections_do_not_pile_up_and_do_not_hold_up_who_is_known() {
    let house = House::start().await;
    house.get("/whoami").await.expect(200);
    let mut open = Vec::new();
    for _ in 0..320 {
        open.push(silent(&house, HALF_A_HEAD).await);
    }
    house.get("/whoami").await.expect(200);
    let mut ended = 0;
    for stream in &mut open {
        ended += usize::from(ends_within(stream, Duration::from_millis(5)).await);
    }
    assert!(ended >= 40, "only {ended} of 320 were ended at once");
}
