//! What a child brings along itself, where a registry sends it, and what nobody is to hold open.

use std::sync::{Arc, Mutex};

use nigari::gateway::broker::Plan;
use nigari::registry::upstream::NewTokens;

use super::{PATIENCE, builder, child, credential, has_password, open, open_with};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer, basic, bearer};

const OWN: &str = "Basic Y2hpbGQ6Y2hpbGQ=";

fn url(stage: &Stage, path: &str) -> String {
    format!("https://registry.localhost:{}{path}", stage.port)
}

fn own_host(heard: &Heard) -> String {
    heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

#[tokio::test]
async fn what_a_child_brings_goes_where_the_run_has_nothing_and_never_beside_what_it_has() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |heard| {
        Act::Say(match heard.authorization() {
            _ if heard.line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"abc"}"#),
            Some(shown) if shown == OWN || shown.starts_with("Bearer ") => answer("200 OK", &[], "{}"),
            _ => bearer(&format!("https://{}/token", own_host(heard))),
        })
    })
    .await;
    let broker = open(vec![credential(&url(&stage, "/team"), &authority)]).await;
    let client = child(&broker, &authority);
    let ask = async |path: &str, own: &[&str]| {
        let mut request = client.get(url(&stage, path));
        for own in own {
            request = request.header("Authorization", *own);
        }
        let before = stage.heard().len();
        let status = request.send().await.unwrap().status().as_u16();
        let heard = stage.heard().split_off(before);
        (status, heard.iter().map(|heard| heard.authorization().unwrap_or("none").to_owned()).collect::<Vec<_>>())
    };
    // Nobody's token is fetched and remembered, and is not for who brings something.
    assert_eq!(
        ask("/v2/public/net/manifests/1", &[]).await,
        (200, ["none", "none", "Bearer abc"].map(str::to_owned).into())
    );
    assert_eq!(ask("/v2/public/net/manifests/1", &[OWN]).await, (200, vec![OWN.to_owned()]));
    assert_eq!(ask("/anything", &[OWN]).await, (200, vec![OWN.to_owned()]));
    // What the registry refuses is refused: nothing of ours is tried instead.
    assert_eq!(ask("/v2/public/net/manifests/1", &["Basic eDp5"]).await, (401, vec!["Basic eDp5".to_owned()]));
    // Where the run has a credential, that is what counts, from the first request on.
    let (status, shown) = ask("/v2/team/net/manifests/1", &[OWN]).await;
    assert_eq!(status, 200);
    assert!(!shown.contains(&OWN.to_owned()) && shown.iter().any(|shown| has_password(shown)), "{shown:?}");
    assert_eq!(shown.last().unwrap(), "Bearer abc");
    // Two are one too many.
    assert_eq!(ask("/anything", &[OWN, OWN]).await, (400, vec![]));
    for heard in stage.heard() {
        let count = heard.head.lines().filter(|line| line.to_ascii_lowercase().starts_with("authorization:")).count();
        assert!(count <= 1 && !(heard.head.contains(OWN) && has_password(&heard.head)), "{}", heard.head);
    }
}

#[tokio::test]
async fn a_redirect_on_the_same_host_is_decided_by_where_it_leads() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |heard| {
        let to = |location: &str| answer("307 Temporary Redirect", &[("Location", location)], "");
        let path = heard.line.split(' ').nth(1).unwrap();
        let is_known = heard.authorization().is_some_and(has_password);
        Act::Say(match path {
            "/v2/team/net/blobs/sha256:0" if is_known => to("/v2/team/store/blobs/sha256:0"),
            "/v2/team/net/blobs/sha256:1" if is_known => to("../../../other/store/blobs/sha256:1"),
            "/v2/team/net/blobs/sha256:2" if is_known => to("/storage/2?sig=a%2Fb&x=1"),
            path if path.starts_with("/v2/team/") && !is_known => basic(),
            _ => answer("200 OK", &[], if is_known { "with" } else { "without" }),
        })
    })
    .await;
    let broker = open(vec![credential(&url(&stage, "/team"), &authority)]).await;
    // A client that follows, as OpenTofu's does.
    let client = builder(&broker, &authority).build().unwrap();
    for (number, path, text) in [
        (0, "/v2/team/store/blobs/sha256:0", "with"),
        (1, "/v2/other/store/blobs/sha256:1", "without"),
        (2, "/storage/2", "without"),
    ] {
        let answer = client.get(url(&stage, &format!("/v2/team/net/blobs/sha256:{number}"))).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.url().path()), (200, path));
        assert_eq!(answer.text().await.unwrap(), text, "{path}");
    }
}

#[tokio::test]
async fn a_connection_that_is_passed_through_and_says_nothing_is_cut_and_told() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |_| Act::Stall).await;
    let broker = open(Vec::new()).await;
    let client = child(&broker, &authority);
    let cut = client.get(url(&stage, "/x")).send().await.unwrap_err();
    assert!(!cut.is_timeout(), "{cut:?}");
    let seen = broker.close().await;
    let told = format!("`registry.localhost:{}`: the connection was cut after 3 s of silence", stage.port);
    assert_eq!(seen.faults, [told]);
}

#[tokio::test]
async fn who_only_wants_to_be_passed_through_reaches_a_registrys_host_as_it_is() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], "untouched"))).await;
    let broker = open(vec![credential(&url(&stage, ""), &authority)]).await;
    // Trusts the host's own authority alone.
    let client = reqwest::Client::builder()
        .proxy(reqwest::Proxy::https(broker.passing_proxy().expose()).unwrap())
        .tls_certs_only([reqwest::Certificate::from_pem(authority.pem.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let answer = client.post(url(&stage, "/team/net.git/git-upload-pack")).header("Authorization", OWN).send().await;
    assert_eq!(answer.unwrap().text().await.unwrap(), "untouched");
    assert_eq!(stage.heard()[0].authorization(), Some(OWN));
    let seen = broker.close().await;
    assert_eq!(seen.used[0].host, format!("registry.localhost:{}", stage.port));
    assert!(seen.notes[0].starts_with("passed through"), "{seen:?}");
}

#[tokio::test]
async fn every_token_is_known_before_it_is_shown() {
    let authority = Authority::new();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let known = Arc::clone(&heard);
    let stage = Stage::start(&authority, move |heard| {
        let repository = heard.line.split('/').nth(2).unwrap_or_default().to_owned();
        Act::Say(match heard.authorization() {
            _ if heard.line.starts_with("GET /token") => {
                let name = heard.line.split("repository%3A").nth(1).unwrap();
                let token = format!("{{\"token\":\"token-of-{}\"}}", &name[..1]);
                answer("200 OK", &[], &token)
            }
            Some(shown) if known.lock().unwrap().iter().any(|token| shown == format!("Bearer {token}")) => {
                answer("200 OK", &[], &repository)
            }
            _ => bearer(&format!("https://{}/token", own_host(heard))),
        })
    })
    .await;
    let listening = Arc::clone(&heard);
    let credentials = vec![credential(&url(&stage, ""), &authority)];
    let new_tokens = NewTokens::to(move |token| listening.lock().unwrap().push(token.expose().to_owned()));
    let broker = open_with(Plan { credentials, patience: PATIENCE, new_tokens, ..Plan::default() }).await;
    let client = child(&broker, &authority);
    for repository in ["a", "b", "a"] {
        let answer = client.get(url(&stage, &format!("/v2/{repository}/manifests/1"))).send().await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    assert_eq!(*heard.lock().unwrap(), ["token-of-a", "token-of-b"]);
}
