//! What is around every route: unknown routes, other methods, bodies that cannot be read, listeners, health.

use std::io::{Read, Write};
use std::net::TcpStream;

use nigari::server::{Server, ServerError};
use reqwest::Method;
use serde_json::json;

use super::house::{House, settings};

#[tokio::test]
async fn unknown_routes_and_methods_are_problems() {
    let house = House::start().await;
    house.get("/nothing").await.expect_problem(404, "not_found");
    house.send(Method::GET, "//", "", None).await.expect_problem(404, "not_found");
    let answer = house.delete("/whoami").await.expect_problem(405, "method_not_allowed");
    assert_eq!(answer.headers["allow"], "GET,HEAD");
}

#[tokio::test]
async fn health_and_readiness_need_no_token() {
    let house = House::start().await;
    for path in ["//healthz", "//readyz"] {
        house.send(Method::GET, path, "", None).await.expect(200);
    }
}

#[tokio::test]
async fn answers_are_not_kept_by_caches() {
    let house = House::start().await;
    assert_eq!(house.get("/whoami").await.expect(200).headers["cache-control"], "no-store");
}

#[tokio::test]
async fn whoami_says_who() {
    let house = House::start().await;
    let answer = house.get("/whoami").await.expect(200);
    assert_eq!((answer.field("name"), answer.field("role")), ("admin".to_owned(), "admin".to_owned()));
}

#[tokio::test]
async fn the_root_key_of_another_database_is_told_by_readiness_and_start() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    drop(Server::bind(settings(one.path())).await.unwrap());
    drop(Server::bind(settings(other.path())).await.unwrap());
    std::fs::copy(other.path().join("root.key"), one.path().join("root.key")).unwrap();
    let refused = Server::bind(settings(one.path())).await.unwrap_err();
    assert!(matches!(refused, ServerError::WrongKey(_)), "{refused:?}");
    assert!(refused.to_string().starts_with("wrong key"), "{refused}");
}

#[tokio::test]
async fn plain_http_off_loopback_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut open = settings(directory.path());
    open.listen = "0.0.0.0:0".parse().unwrap();
    let refused = Server::bind(open).await.unwrap_err();
    assert!(matches!(refused, ServerError::Plain(_)), "{refused:?}");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "something was made all the same");
    let mut behind = settings(directory.path());
    behind.listen = "0.0.0.0:0".parse().unwrap();
    behind.behind_proxy = true;
    assert!(Server::bind(behind).await.is_ok());
}

#[tokio::test]
async fn what_is_not_http_does_no_harm() {
    let house = House::start().await;
    let address = house.origin.strip_prefix("http://").unwrap().to_owned();
    let answered = tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"\x16\x03\x01\x02\x00 this is no request\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        // A reset is as good as an end.
        let _ = stream.read_to_end(&mut answer);
        answer
    });
    let answer = String::from_utf8_lossy(&answered.await.unwrap()).into_owned();
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    house.get("/whoami").await.expect(200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let house = House::start().await;
    let name = "n".repeat(nigari::protocol::limits::JSON_BYTES);
    house.post("/workspaces", json!({ "name": name })).await.expect_problem(413, "too_large");
}

#[tokio::test]
async fn a_body_that_is_no_json_is_refused() {
    let house = House::start().await;
    let request = || house.request(Method::POST, "/workspaces");
    let answer = House::read(request().header("content-type", "application/json").body("{\"name\":")).await;
    answer.expect_problem(400, "malformed");
    let answer = House::read(request().header("content-type", "text/plain").body("{}")).await;
    answer.expect_problem(415, "unsupported_media_type");
    let answer = house.post("/workspaces", json!({"name": "n", "colour": "red"})).await.expect_problem(422, "invalid");
    assert!(answer.field("detail").contains("`colour`"), "{answer:?}");
}
