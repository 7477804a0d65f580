//! What the client makes of answers: values, problems, and the words of strangers.

use nigari::client::{ClientError, ErrorKind};
use nigari::protocol::api::{NewRegistryIntegration, StateLock, VariableKind, VariableValue};
use nigari::protocol::id::RunId;
use nigari::protocol::run::Phase;
use nigari::secret::Secret;

use super::house::{House, TOKEN, WHOAMI, answer, empty, json, problem};

async fn whoami_error(response: axum::response::Response) -> ClientError {
    let house = House::start([response]).await;
    let error = house.client().whoami().await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(!text.contains(TOKEN) && !text.contains("geheim"), "{text}");
    assert!(text.starts_with("cannot ask who you are at http://127.0.0.1:"), "{text}");
    error
}

#[tokio::test]
async fn a_value_is_read_and_the_token_is_a_sensitive_header_alone() {
    let house = House::start([json(200, WHOAMI)]).await;
    let client = house.client();
    assert_eq!(client.whoami().await.unwrap().role, "admin");
    let asked = &house.asked()[0];
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/api/v1/whoami"));
    assert_eq!(asked.headers["authorization"], format!("Bearer {TOKEN}"));
    assert!(!format!("{client:?}").contains("geheim"));
}

#[tokio::test]
async fn problems_are_told_in_the_servers_words() {
    let error = whoami_error(problem(401, "unauthorized", "")).await;
    assert!(error.is_problem("unauthorized") && error.hint().unwrap().contains("nigari login"), "{error}");
    assert!(error.to_string().contains(": what happened; hint: "), "{error}");
    let error = whoami_error(problem(409, "conflict", r#","hint":"do this""#)).await;
    assert_eq!((error.hint(), error.status(), error.is_retryable()), (Some("do this"), Some(409), false));
    // The status of the answer counts, not the one that the body claims.
    let claims = r#"{"title":"T","status":200,"code":"internal"}"#;
    let error = whoami_error(answer(503, &[("retry-after", "7")], claims)).await;
    assert_eq!((error.status(), error.is_retryable()), (Some(503), true));
    assert_eq!(error.retry_after().unwrap().as_secs(), 7);
}

#[tokio::test]
async fn strangers_are_told_apart_from_servers() {
    let html = [("content-type", "text/html; charset=utf-8")];
    for (response, word) in [
        (answer(200, &html, "<html>log in"), "HTML page"),
        (answer(511, &html, "<html>log in"), "HTML page"),
        (answer(502, &[], "Bad Gateway"), "not ours"),
        (answer(204, &[], ""), "cannot be understood"),
        (answer(200, &[], "garbage"), "not JSON, line 1"),
        (answer(200, &[], r#"{"name":"a"}"#), "another shape"),
        (answer(200, &[], r#"{"name":"a","#), "ends too early"),
        (answer(404, &[], r#"{"error":"not found"}"#), "not ours"),
    ] {
        let error = whoami_error(response).await;
        assert!(matches!(error.kind(), ErrorKind::NotNigari { .. }), "{error}");
        assert!(error.to_string().contains(word), "{word}: {error}");
    }
    // What serde would quote stays out of the message.
    let error = whoami_error(answer(200, &[], r#"{"name":"a","kind":"geheimes wort"}"#)).await;
    assert!(matches!(error.kind(), ErrorKind::NotNigari { .. }), "{error}");
}

#[tokio::test]
async fn redirects_are_not_followed_and_only_their_origin_is_named() {
    let sentinel = House::start([]).await;
    for status in [301, 302, 303, 307, 308] {
        let target = format!("{}/login?token=geheim", sentinel.url());
        let error = whoami_error(answer(status, &[("location", &target)], "")).await;
        assert!(error.to_string().contains(&format!("a redirect to {} (", sentinel.url())), "{error}");
    }
    assert!(sentinel.asked().is_empty());
}

#[tokio::test]
async fn an_empty_answer_counts_only_from_the_server_itself() {
    let house = House::start([empty(), answer(204, &[], "")]).await;
    let client = house.client();
    client.delete_workspace("net").await.unwrap();
    let error = client.delete_workspace("net").await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::NotNigari { status: 204, .. }), "{error}");

    let house = House::start([empty(), answer(204, &[], ""), answer(200, &[], "{}")]).await;
    let client = house.client();
    assert!(client.state("net").await.unwrap().is_none());
    for _ in 0..2 {
        let error = client.state("net").await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotNigari { .. }), "{error}");
    }
}

#[tokio::test]
async fn names_cannot_change_the_route() {
    let house = House::start([empty(), empty()]).await;
    let client = house.client();
    for name in ["", ".", ".."] {
        let error = client.delete_workspace(name).await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Refused(_)), "{error}");
    }
    assert!(house.asked().is_empty());
    client.delete_workspace("../a?b#c/%2e").await.unwrap();
    assert_eq!(house.asked()[0].target, "/api/v1/workspaces/..%2Fa%3Fb%23c%2F%252e");
    client.unset_variable("w", VariableKind::Env, "A B").await.unwrap();
    assert_eq!(house.asked()[1].target, "/api/v1/workspaces/w/variables/env/A%20B");
}

#[tokio::test]
async fn secrets_go_in_bodies_and_nowhere_else() {
    let house = House::start([problem(422, "invalid", ""), empty()]).await;
    let client = house.client();
    let new = NewRegistryIntegration {
        name: "hub".to_owned(),
        url: "https://ghcr.io".to_owned(),
        username: "u".to_owned(),
        secret: Secret::from("pä\"ss\\${x}"),
        export_credentials: false,
        permit_file: false,
        permit_whole_run: false,
        ca_pem: None,
    };
    let error = client.create_registry_integration(&new).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("ss\\"), "{error:?}");
    let body: serde_json::Value = serde_json::from_slice(&house.asked()[0].body).unwrap();
    assert_eq!(body["secret"], "pä\"ss\\${x}");
    let value = VariableValue { value: Secret::from("v"), sensitive: Some(true), description: String::new() };
    client.set_variable("w", VariableKind::Tofu, "x", &value).await.unwrap();
    assert_eq!(house.asked()[1].headers["content-type"], "application/json");
}

#[tokio::test]
async fn a_held_lock_names_its_holder() {
    let holder = r#"{"ID":"1234","Operation":"OperationTypeApply","Who":"run-1"}"#;
    let house = House::start([json(423, holder), problem(423, "locked", "")]).await;
    let client = house.client();
    let error = client.lock_state("net", &StateLock::default()).await.unwrap_err();
    let ErrorKind::Locked(lock) = error.kind() else { panic!("{error}") };
    assert_eq!(lock.id, "1234");
    assert!(error.to_string().contains("locked by run-1"), "{error}");
    assert!(client.lock_state("net", &StateLock::default()).await.unwrap_err().is_problem("locked"));
}

#[tokio::test]
async fn a_log_is_read_with_its_next_offset() {
    let headers = [("nigari-offset", "12"), ("nigari-complete", "true")];
    let house = House::start([answer(200, &headers, "hello"), answer(200, &[], "hello")]).await;
    let client = house.client();
    let run = RunId::generate();
    let part = client.run_log(run, Phase::Plan, 7, None).await.unwrap();
    assert_eq!((part.next_offset, part.complete), (12, true));
    assert_eq!(part.bytes.bytes().await.unwrap(), "hello");
    assert_eq!(house.asked()[0].target, format!("/api/v1/runs/{run}/logs/plan?offset=7"));
    assert!(client.run_log(run, Phase::Plan, 7, None).await.is_err());
}
