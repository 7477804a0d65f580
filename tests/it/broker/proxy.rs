//! The proxy's own manners: who may come in, where to, what may be asked, and its end.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nigari::gateway::broker::Broker;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{child, credential, has_password, open};
use crate::registry::stage::{Act, Authority, Stage, answer, basic};

/// Sends a head, and gives the answer's first line.
async fn say(broker: &Broker, head: &str) -> String {
    let mut stream = TcpStream::connect(broker.address()).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = vec![0; 4096];
    let length = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut bytes)).await.unwrap().unwrap();
    String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned()
}

/// The header that lets in.
fn admission(broker: &Broker) -> String {
    let proxy: url::Url = broker.proxy().expose().parse().unwrap();
    let login = format!("{}:{}", proxy.username(), proxy.password().unwrap());
    format!("Proxy-Authorization: Basic {}", STANDARD.encode(login))
}

fn connect(target: &str, more: &str) -> String {
    format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{more}\r\n\r\n")
}

async fn stage(authority: &Authority) -> Stage {
    Stage::start(authority, |heard| {
        Act::Say(if heard.authorization().is_some() { answer("200 OK", &[], "{}") } else { basic() })
    })
    .await
}

fn url(stage: &Stage, path: &str) -> String {
    format!("https://registry.localhost:{}{path}", stage.port)
}

#[tokio::test]
async fn nobody_gets_in_without_the_nonce() {
    let authority = Authority::new();
    let stage = stage(&authority).await;
    let broker = open(vec![credential(&url(&stage, ""), &authority)]).await;
    let target = format!("registry.localhost:{}", stage.port);
    let wrong = format!("Proxy-Authorization: Basic {}", STANDARD.encode(format!("run:{}", "0".repeat(64))));
    for more in ["X: y", &wrong, "Proxy-Authorization: Basic cnVuOg==", "Proxy-Authorization: Bearer x"] {
        assert_eq!(say(&broker, &connect(&target, more)).await, "HTTP/1.1 407 Proxy Authentication Required", "{more}");
    }
    assert_eq!(say(&broker, &connect(&target, &admission(&broker))).await, "HTTP/1.1 200 OK");
    assert!(stage.heard().is_empty());
    // Two brokers at a time: neither knows the other's.
    let other = open(vec![credential(&url(&stage, ""), &authority)]).await;
    assert!(say(&other, &connect(&target, &admission(&broker))).await.contains(" 407 "));
}

#[tokio::test]
async fn only_sound_targets_are_connected_to() {
    let broker = open(Vec::new()).await;
    let admission = admission(&broker);
    for (target, status) in [
        ("169.254.169.254:443", 403),
        ("0xa9fea9fe:443", 403),
        ("[fd00:ec2::254]:443", 403),
        ("0.0.0.0:443", 403),
        ("no-such-host.invalid:443", 502),
        ("127.0.0.1:1", 502),
        ("localhost:0", 400),
        ("localhost", 400),
        ("u@localhost:443", 400),
    ] {
        let line = say(&broker, &connect(target, &admission)).await;
        assert!(line.starts_with(&format!("HTTP/1.1 {status} ")), "{target}: {line}");
    }
    let plain = format!("GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n{admission}\r\n\r\n");
    assert!(say(&broker, &plain).await.starts_with("HTTP/1.1 403 "));
    let giant = format!("CONNECT localhost:443 HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(100_000));
    assert!(say(&broker, &giant).await.starts_with("HTTP/1.1 431 "));
}

#[tokio::test]
async fn a_registry_is_asked_by_get_and_head_for_itself_alone() {
    let authority = Authority::new();
    let stage = stage(&authority).await;
    let broker = open(vec![credential(&url(&stage, "/team"), &authority)]).await;
    let client = child(&broker, &authority);
    for method in [reqwest::Method::POST, reqwest::Method::PUT, reqwest::Method::DELETE, reqwest::Method::PATCH] {
        let answer = client.request(method, url(&stage, "/v2/team/net/manifests/1")).send().await.unwrap();
        assert_eq!(answer.status(), 405);
    }
    let answer = client.get(url(&stage, "/v2/team/net/manifests/1")).header("Host", "ghcr.io").send().await.unwrap();
    assert_eq!(answer.status(), 421);
    assert!(stage.heard().is_empty());
    // Of a host with paths alone, the broker itself says that it is a registry.
    assert_eq!(client.get(url(&stage, "/v2/")).send().await.unwrap().status(), 200);
    assert!(stage.heard().is_empty());
    // Another path gets no credential, and neither does what is no path of a repository.
    for path in ["/v2/other/net/manifests/1", "/v2/_catalog", "/anything", "/v2/teams/net/blobs/x"] {
        client.get(url(&stage, path)).send().await.unwrap();
    }
    assert!(stage.heard().len() >= 4);
    stage.must_not_have_seen_a_credential();
    let answer = client.get(url(&stage, "/v2/team/net/manifests/1")).header("Authorization", "Bearer x").send().await;
    assert_eq!(answer.unwrap().status(), 200);
    assert!(stage.heard().last().unwrap().authorization().is_some_and(has_password));
    let seen = broker.close().await;
    assert_eq!(seen.pulled.len(), 1);
    assert!(
        seen.pulled[0].starts_with(&format!("registry.localhost:{}/team/net@sha256:44136fa3", stage.port)),
        "{seen:?}"
    );
}

#[tokio::test]
async fn what_is_no_registry_of_the_run_is_passed_through_and_listed() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], "untouched"))).await;
    let broker = open(Vec::new()).await;
    let client = child(&broker, &authority);
    let answer = client.post(url(&stage, "/x")).header("Authorization", "Basic Y2hpbGQ6Y2hpbGQ=").send().await.unwrap();
    assert_eq!(answer.text().await.unwrap(), "untouched");
    // What the child brings for others is the child's business.
    assert_eq!(stage.heard()[0].authorization(), Some("Basic Y2hpbGQ6Y2hpbGQ="));
    let seen = broker.close().await;
    let host = format!("registry.localhost:{}", stage.port);
    assert_eq!((seen.used.len(), seen.used[0].host.as_str(), seen.used[0].requests), (1, host.as_str(), 1));
    assert!(seen.used[0].bytes.unwrap() > 9 && seen.used[0].integrations.is_empty(), "{seen:?}");
    assert!(seen.notes[0].starts_with("passed through") && seen.notes[0].contains(&host), "{seen:?}");
}

#[tokio::test]
async fn once_closed_nothing_listens_and_every_connection_is_cut() {
    let authority = Authority::new();
    let endless = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n";
    let stage = Stage::start(&authority, |heard| {
        if heard.authorization().is_some() { Act::SayForEver(endless.to_vec()) } else { Act::Say(basic()) }
    })
    .await;
    let silent = Stage::start(&authority, |_| Act::Stall).await;
    let broker = open(vec![credential(&url(&stage, ""), &authority)]).await;
    let (client, address) = (child(&broker, &authority), broker.address());
    let mut blob = client.get(url(&stage, "/v2/team/net/blobs/sha256:0")).send().await.unwrap();
    assert!(blob.chunk().await.unwrap().is_some());
    let mut tunnel = TcpStream::connect(address).await.unwrap();
    let target = format!("registry.localhost:{}", silent.port);
    tunnel.write_all(connect(&target, &admission(&broker)).as_bytes()).await.unwrap();
    assert!(tunnel.read(&mut [0; 1024]).await.unwrap() > 0);
    let seen = tokio::time::timeout(Duration::from_secs(10), broker.close()).await.unwrap();
    assert!(seen.used.iter().any(|used| used.bytes.is_some_and(|bytes| bytes > 0)), "{seen:?}");
    while let Ok(Some(_)) = blob.chunk().await {}
    assert!(matches!(tunnel.read(&mut [0; 1024]).await, Ok(0) | Err(_)));
    assert!(TcpStream::connect(address).await.is_err());
}
