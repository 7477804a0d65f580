//! The agent's calls: epoch, session, offsets, digests, state passed through.

use std::io::Write as _;

use nigari::client::ErrorKind;
use nigari::protocol::agent::{ClaimRequest, CredentialsRequest, SessionRequest};
use nigari::protocol::delivery::DeliveryChoice;
use nigari::protocol::id::{ClaimId, RequestId, RunId};
use nigari::protocol::run::Phase;
use nigari::secret::Secret;

use super::house::{House, answer, empty, json, problem};

/// SHA-256 of `hello`.
const HELLO: &str = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

fn session_request() -> SessionRequest {
    SessionRequest {
        protocol_min: 1,
        protocol_max: 1,
        name: "host".to_owned(),
        version: "1".to_owned(),
        concurrency: 1,
        tofu_version: "1.12.6".to_owned(),
        process: None,
        run_root: "/r".to_owned(),
    }
}

#[tokio::test]
async fn a_session_shows_the_join_token_once_and_its_own_from_then_on() {
    let session = r#"{"protocol":1,"agent":"agent-0199aaaaaaaa7aaaaaaaaaaaaaaaaaaa","pool":"pool-0199aaaaaaaa7aaaaaaaaaaaaaaaaaaa",
        "pool_name":"default","identity":"ngr_agent_x","session":"ngr_session_y","session_seconds":60,"lease_seconds":30,"hold_seconds":20}"#;
    let house = House::start([json(200, session), empty(), problem(401, "unauthorized", "")]).await;
    let agent = house.agent();
    let answer = agent.open_session(&Secret::from("ngr_join_z"), &session_request()).await.unwrap();
    assert_eq!(answer.identity.unwrap().expose(), "ngr_agent_x");
    let request = ClaimRequest { claim: ClaimId::generate(), hold_seconds: 0 };
    assert!(agent.claim(&request).await.unwrap().is_none());
    let error = agent.claim(&request).await.unwrap_err();
    assert!(error.hint().unwrap().contains("join token"), "{error}");
    let shown: Vec<_> = house.asked().iter().map(|asked| asked.headers["authorization"].clone()).collect();
    assert_eq!(shown, ["Bearer ngr_join_z", "Bearer ngr_session_y", "Bearer ngr_session_y"]);
}

#[tokio::test]
async fn every_call_for_a_run_carries_its_epoch() {
    let renewed = r#"{"lease_seconds":30,"cancel":true,"kill":false}"#;
    let house = House::start([json(200, renewed), problem(409, "stale_epoch", "")]).await;
    let run = RunId::generate();
    let leased = house.agent().leased_run(run, 7);
    assert!(leased.renew().await.unwrap().cancel);
    let error = leased.renew().await.unwrap_err();
    assert!(error.is_problem("stale_epoch") && !error.is_retryable(), "{error}");
    for asked in house.asked() {
        assert_eq!(asked.headers["nigari-epoch"], "7");
        assert_eq!(asked.target, format!("/api/v1/agent/runs/{run}/renew"));
    }
}

#[tokio::test]
async fn credentials_come_in_and_broken_ones_are_not_repeated() {
    let good = r#"{"credentials":[{"integration":"reg-0199aaaaaaaa7aaaaaaaaaaaaaaaaaaa","name":"hub","address":"ghcr.io",
        "username":"u","secret":"p\u00e4ss"}],"withheld":[]}"#;
    let broken = r#"{"credentials":[{"integration":"geheim-geheim"}],"withheld":[]}"#;
    let house = House::start([json(200, good), json(200, broken)]).await;
    let leased = house.agent().leased_run(RunId::generate(), 1);
    let request = CredentialsRequest { request: RequestId::generate(), delivery: DeliveryChoice::Auto };
    let answer = leased.credentials(&request).await.unwrap();
    assert_eq!(answer.credentials[0].secret.expose(), "päss");
    let error = leased.credentials(&request).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
}

#[tokio::test]
async fn a_log_goes_on_where_the_server_says() {
    let offset = |status, at| answer(status, &[("nigari-offset", at), ("x-request-id", "r")], "");
    let mut elsewhere = problem(409, "log_offset", "");
    elsewhere.headers_mut().insert("nigari-offset", "3".parse().unwrap());
    let house =
        House::start([offset(204, "10"), elsewhere, problem(409, "log_offset", ""), answer(204, &[], "")]).await;
    let leased = house.agent().leased_run(RunId::generate(), 1);
    assert_eq!(leased.append_log(Phase::Plan, 5, "hello".into()).await.unwrap(), 10);
    assert_eq!(leased.append_log(Phase::Plan, 10, "hello".into()).await.unwrap(), 3);
    assert!(leased.append_log(Phase::Plan, 10, "hello".into()).await.unwrap_err().is_problem("log_offset"));
    // A proxy's own 204 must not pass for a stored log.
    assert!(leased.append_log(Phase::Plan, 10, "hello".into()).await.is_err());
    let asked = &house.asked()[0];
    assert_eq!(
        (asked.method.as_str(), &asked.headers["nigari-offset"], &asked.body[..]),
        ("PATCH", &"5".parse().unwrap(), &b"hello"[..])
    );
}

#[tokio::test]
async fn an_artifact_is_streamed_up_with_length_and_digest() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    let content = vec![7_u8; 3_000_000];
    file.write_all(&content).unwrap();
    let house = House::start([empty()]).await;
    let leased = house.agent().leased_run(RunId::generate(), 1);
    leased.put_artifact(file.path(), HELLO).await.unwrap();
    let asked = &house.asked()[0];
    assert_eq!(asked.headers["content-length"], "3000000");
    assert_eq!(asked.headers["nigari-digest"], HELLO);
    assert!(asked.body == content);
    let missing = file.path().with_extension("missing");
    let error = leased.put_artifact(&missing, HELLO).await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::File(path) if *path == missing), "{error}");
}

#[tokio::test]
async fn a_download_that_does_not_fit_its_digest_is_refused() {
    let with = |digest| answer(200, &[("nigari-digest", digest), ("x-request-id", "r")], "hello");
    let house = House::start([with(HELLO), with("00"), with(HELLO)]).await;
    let leased = house.agent().leased_run(RunId::generate(), 1);
    let download = leased.configuration().await.unwrap();
    assert_eq!((download.digest(), download.length()), (Some(HELLO), Some(5)));
    assert_eq!(download.bytes().await.unwrap(), "hello");
    let error = leased.configuration().await.unwrap().bytes().await.unwrap_err();
    assert!(error.to_string().contains("digest"), "{error}");
    let mut sink = Vec::new();
    let path = std::path::Path::new("/a/file");
    assert_eq!(leased.artifact().await.unwrap().write_to(&mut sink, path).await.unwrap(), 5);
    assert_eq!(sink, b"hello");
}

#[tokio::test]
async fn state_is_passed_through_but_never_from_a_stranger() {
    let holder = r#"{"ID":"x","Whatever":{"tofu":"adds"}}"#;
    let house = House::start([
        json(200, "{\"serial\": 1}"),
        empty(),
        json(423, holder),
        answer(204, &[], ""),
        answer(423, &[], "held by a proxy"),
        answer(200, &[("content-type", "text/html")], "<html>"),
        problem(403, "forbidden", ""),
    ])
    .await;
    let leased = house.agent().leased_run(RunId::generate(), 1);
    let read = leased.read_state().await.unwrap();
    assert_eq!((read.status, &read.body[..]), (200, &b"{\"serial\": 1}"[..]));
    assert_eq!(leased.read_state().await.unwrap().status, 204);
    let locked = leased.lock_state("{}".into()).await.unwrap();
    assert_eq!((locked.status, &locked.body[..]), (423, holder.as_bytes()));
    for _ in 0..3 {
        let error = leased.read_state().await.unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotNigari { .. }), "{error}");
    }
    assert!(leased.write_state(Some("a&b"), "{}".into()).await.unwrap_err().is_problem("forbidden"));
    assert!(house.asked()[6].target.ends_with("/state?lock=a%26b"), "{}", house.asked()[6].target);
}
