//! Registries that do what they should not, each behind one broker: no credential goes astray, each request ends with a
//! clear word, and the broker goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nigari::protocol::agent::RegistryCredential;

use super::hostile_cases::{CASES, Case, GOOD, Want};
use super::{child, credential, has_password, open, readable};
use crate::registry::stage::{Act, Authority, Stage, answer, basic, bearer};

/// What nobody but the registry itself may be shown a credential by.
async fn sentinel(authority: &Authority) -> Stage {
    Stage::start(authority, |_| Act::Say(answer("200 OK", &[], r#"{"token":"stolen"}"#))).await
}

async fn start(authority: &Authority, case: &'static Case, port: u16) -> Stage {
    let number = Arc::new(AtomicUsize::new(0));
    Stage::start(authority, move |heard| (case.act)(heard, number.fetch_add(1, Ordering::SeqCst), port)).await
}

async fn good(authority: &Authority) -> Stage {
    Stage::start(authority, |heard| {
        Act::Say(if heard.authorization().is_some() { answer("200 OK", &[], GOOD) } else { basic() })
    })
    .await
}

fn url(stage: &Stage, path: &str) -> String {
    format!("https://registry.localhost:{}{path}", stage.port)
}

/// Asks as a child, and looks at all that it can read.
async fn ask(client: &reqwest::Client, case: &Case, url: &str) {
    let began = Instant::now();
    let response = client.get(url).send().await.unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
    let status = response.status().as_u16();
    let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
    let read = readable(response).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{}: {:?}", case.name, began.elapsed());
    match case.want {
        Want::Status(want) => assert_eq!(status, want, "{}: {read:?}", case.name),
        Want::Body(want) => {
            assert_eq!(status, want, "{}: {read:?}", case.name);
            assert!(read.as_ref().is_ok_and(|text| text.ends_with(GOOD)), "{}: {read:?}", case.name);
        }
        Want::Broken => assert!(status == 200 && read.is_err(), "{}: {status} {read:?}", case.name),
    }
    let (Ok(text) | Err(text)) = read;
    assert!(!has_password(&text) && !text.contains("www-authenticate"), "{}: {text}", case.name);
    // A child follows redirects; the broker must not help it to take anything along.
    if let Some(location) = location.filter(|location| location.starts_with("https")) {
        let _ = client.get(location).header("Authorization", "Basic x").send().await;
    }
}

#[tokio::test]
async fn hostile_registries_get_no_credential_astray_and_the_broker_goes_on() {
    assert!(CASES.len() >= 30);
    let authority = Authority::new();
    let (sentinel, good) = (sentinel(&authority).await, good(&authority).await);
    let mut stages = Vec::new();
    for case in CASES {
        stages.push(start(&authority, case, sentinel.port).await);
    }
    let hosts = stages.iter().chain([&good]).map(|stage| url(stage, ""));
    let broker = open(hosts.map(|host| credential(&host, &authority)).collect()).await;
    let client = child(&broker, &authority);
    // Not all at once, so that a busy machine does not make silence of what is an answer.
    let places = Arc::new(tokio::sync::Semaphore::new(6));
    let mut asked = tokio::task::JoinSet::new();
    for (case, stage) in CASES.iter().zip(&stages) {
        let (client, hostile) = (client.clone(), url(stage, "/v2/team/net/manifests/1"));
        let fine = url(&good, "/v2/team/net/manifests/1");
        let places = Arc::clone(&places);
        asked.spawn(async move {
            let _place = places.acquire().await.unwrap();
            ask(&client, case, &hostile).await;
            assert_eq!(client.get(fine).send().await.unwrap().text().await.unwrap(), GOOD, "after {}", case.name);
        });
    }
    asked.join_all().await;
    for (case, stage) in CASES.iter().zip(&stages) {
        assert!(stage.heard().len() <= 6, "{}: {} requests", case.name, stage.heard().len());
        assert!(!stage.heard().is_empty(), "{}: never asked", case.name);
    }
    // The redirect's target was reached, without what the child had brought, because it is not ended here.
    for heard in sentinel.heard() {
        assert!(heard.authorization().is_none_or(|shown| shown == "Basic x"), "{}", heard.head);
    }
    let seen = broker.close().await;
    let told = [&seen.faults[..], &seen.notes[..]].concat();
    for (case, stage) in CASES.iter().zip(&stages) {
        let by_host = told.iter().filter(|text| text.contains(&format!("registry.localhost:{}", stage.port)));
        let by_host: Vec<_> = by_host.collect();
        assert!(
            by_host.iter().any(|text| text.contains(case.told)) || case.told.is_empty(),
            "{}: {by_host:?}",
            case.name
        );
    }
    assert!(!has_password(&format!("{seen:?}")), "{seen:?}");
}

#[tokio::test]
async fn a_registry_that_changes_its_token_service_does_not_get_the_credential_there() {
    let authority = Authority::new();
    let sentinel = sentinel(&authority).await;
    let port = sentinel.port;
    let stage = Stage::start(&authority, move |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        Act::Say(match heard.line.as_str() {
            line if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"abc"}"#),
            line if line.contains("/team/other/") => bearer(&format!("https://registry.localhost:{port}/token")),
            _ if heard.authorization() == Some("Bearer abc") => answer("200 OK", &[], GOOD),
            _ => bearer(&format!("https://{host}/token")),
        })
    })
    .await;
    let broker = open(vec![credential(&url(&stage, ""), &authority)]).await;
    let client = child(&broker, &authority);
    let first = client.get(url(&stage, "/v2/team/net/manifests/1")).send().await.unwrap();
    assert_eq!(first.status(), 200);
    let second = client.get(url(&stage, "/v2/team/other/manifests/1")).send().await.unwrap();
    assert_eq!(second.status(), 502);
    assert!(second.text().await.unwrap().contains("another token service"));
    assert!(sentinel.heard().is_empty(), "{:?}", sentinel.heard());
}

/// A registry with its token service on itself, or on that port of its host.
async fn registry_with_tokens(authority: &Authority, service: Option<u16>) -> Stage {
    Stage::start(authority, move |heard| {
        let own = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let host = service.map_or_else(|| own.to_owned(), |port| format!("registry.localhost:{port}"));
        Act::Say(match heard.line.as_str() {
            line if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"abc"}"#),
            _ if heard.authorization() == Some("Bearer abc") => answer("200 OK", &[], GOOD),
            _ => bearer(&format!("https://{host}/token")),
        })
    })
    .await
}

#[tokio::test]
async fn another_token_service_than_the_one_that_the_server_has_kept_is_never_shown_the_credential() {
    let authority = Authority::new();
    let sentinel = sentinel(&authority).await;
    let hostile = registry_with_tokens(&authority, Some(sentinel.port)).await;
    let fine = registry_with_tokens(&authority, None).await;
    let held = |stage: &Stage, service: String| RegistryCredential {
        token_service: Some(service),
        ..credential(&url(stage, ""), &authority)
    };
    let kept = "https://auth.example".to_owned();
    let broker = open(vec![held(&hostile, kept), held(&fine, url(&fine, ""))]).await;
    let client = child(&broker, &authority);
    // Neither for a manifest nor for `/v2/`, and not the second time either.
    for path in ["/v2/team/net/manifests/1", "/v2/", "/v2/team/net/manifests/1"] {
        let refused = client.get(url(&hostile, path)).send().await.unwrap();
        assert_eq!(refused.status(), 502, "{path}");
        let text = refused.text().await.unwrap();
        for word in ["another token service than `https://auth.example`", "`ours`", "nigari registry update"] {
            assert!(text.contains(word), "{path}: {text}");
        }
        assert!(!has_password(&text), "{path}: {text}");
        let good = client.get(url(&fine, "/v2/team/net/manifests/1")).send().await.unwrap();
        assert_eq!(good.text().await.unwrap(), GOOD, "{path}");
    }
    assert!(sentinel.heard().is_empty(), "{:?}", sentinel.heard());
    hostile.must_not_have_seen_a_credential();
}
