//! Registries that redirect, stall, flood, lie and send back what they were sent.

use std::time::{Duration, Instant};

use nigari::protocol::api::ConnectionVerdict as V;

use super::stage::{Act, Authority, PASSWORD, Stage, USER, answer, basic, bearer, test};

/// The verdict of a registry that gives one answer to everything.
async fn verdict_of(bytes: Vec<u8>) -> (V, String) {
    let authority = Authority::new();
    let stage = Stage::start(&authority, move |_| Act::Say(bytes.clone())).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    stage.must_not_have_seen_a_credential();
    (result.verdict, format!("{}; {}", result.message, result.hint.unwrap_or_default()))
}

#[tokio::test]
async fn each_first_answer_has_its_verdict_and_costs_no_credential() {
    let html = [("Content-Type", "text/HTML; charset=utf-8")];
    for (bytes, verdict, word) in [
        (answer("200 OK", &[], "{}"), V::Unproven, "not looked at"),
        (answer("200 OK", &html, "<html>"), V::NotARegistry, "web page"),
        (answer("404 Not Found", &[], ""), V::NotARegistry, "404"),
        (answer("404 Not Found", &html, ""), V::NotARegistry, "web page"),
        (answer("403 Forbidden", &[], ""), V::RegistryFault, "filter"),
        (answer("418 Teapot", &[], ""), V::NotARegistry, "418"),
        (answer("429 Slow", &[("Retry-After", "17")], ""), V::RegistryFault, "17 s"),
        (answer("429 Slow", &[("Retry-After", "99999999999999999999")], ""), V::RegistryFault, "limits"),
        (answer("500 Oh", &[], ""), V::RegistryFault, "500"),
        (answer("503 Oh", &[], ""), V::RegistryFault, "503"),
        (answer("401 Unauthorized", &[], ""), V::NotARegistry, "proxy or login"),
        (answer("401 Unauthorized", &[("WWW-Authenticate", "Negotiate")], ""), V::NotARegistry, "neither"),
        (
            answer("401 Unauthorized", &[("WWW-Authenticate", "NTLM"), ("WWW-Authenticate", "Basic realm=x")], ""),
            V::NotARegistry,
            "change their order",
        ),
        (b"SSH-2.0-OpenSSH_9.6\r\n".to_vec(), V::NotARegistry, "not HTTP"),
        (b"".to_vec(), V::Unreachable, "cut"),
        (answer("200 OK", &[("X-Giant", &"a".repeat(2_000_000))], ""), V::NotARegistry, "not HTTP"),
        (format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(500)).into_bytes(), V::NotARegistry, "not HTTP"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let (found, message) = verdict_of(bytes).await;
        assert_eq!(found, verdict, "{shown}: {message}");
        assert!(message.contains(word), "{shown}: {message}");
    }
}

#[tokio::test]
async fn no_redirect_is_followed_wherever_it_comes_from() {
    for status in ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"] {
        let authority = Authority::new();
        let sentinel = Stage::start(&authority, |_| Act::Say(basic())).await;
        let target = format!("https://localhost:{}/v2/", sentinel.port);
        let redirect = answer(status, &[("Location", &target)], "");

        // At the first question the target is named.
        let (verdict, message) = verdict_of(redirect.clone()).await;
        assert_eq!(verdict, V::NotARegistry, "{message}");
        assert!(message.contains(&format!("`https://localhost:{}`", sentinel.port)), "{message}");

        // With Basic, at the token service, and with the token.
        for at in ["basic", "realm", "token"] {
            let redirect = redirect.clone();
            let stage = Stage::start(&authority, move |heard| {
                let token = heard.line.starts_with("GET /token");
                let shown = heard.authorization().is_some();
                Act::Say(match at {
                    "basic" if shown => redirect.clone(),
                    "basic" => basic(),
                    "realm" if token => redirect.clone(),
                    "token" if token => answer("200 OK", &[], r#"{"token":"abc"}"#),
                    "token" if shown => redirect.clone(),
                    _ => {
                        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
                        bearer(&format!("https://{host}/token"))
                    }
                })
            })
            .await;
            let result = test(&stage.host(), Some(&authority.pem), None).await;
            assert_eq!(result.verdict, V::NotARegistry, "{at}: {result:?}");
            assert!(stage.heard().iter().any(|heard| heard.authorization().is_some()), "{at}: nothing was tried");
        }
        assert!(sentinel.heard().is_empty(), "{:?}", sentinel.heard());
    }
}

#[tokio::test]
async fn a_registry_that_asks_for_ever_is_answered_once() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |_| Act::Say(basic())).await;
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net")).await;
    assert_eq!(result.verdict, V::Denied, "{result:?}");
    assert_eq!(stage.heard().len(), 2);
}

#[tokio::test]
async fn a_secret_that_is_sent_back_is_not_repeated() {
    let authority = Authority::new();
    // A host name cannot carry everything, so the secret comes back as a registry would put it into one.
    let stage = Stage::start(&authority, |heard| {
        if heard.authorization().is_none() {
            return Act::Say(basic());
        }
        let evil = format!("https://{PASSWORD}.example/{USER}");
        let headers = [("Location", evil.as_str()), ("WWW-Authenticate", &format!("Bearer realm=\"{evil}\""))];
        Act::Say(answer("302 Found", &headers, PASSWORD))
    })
    .await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    assert_eq!(result.verdict, V::NotARegistry, "{result:?}");

    for kind in ["artifactType", "mediaType"] {
        let stage = Stage::start(&authority, move |heard| {
            Act::Say(match heard.authorization() {
                None => basic(),
                Some(_) => answer("200 OK", &[], &format!("{{\"{kind}\":\"{PASSWORD}\"}}")),
            })
        })
        .await;
        let result = test(&stage.host(), Some(&authority.pem), Some("team/net:1")).await;
        assert_eq!(result.verdict, V::Ok, "{result:?}");
        assert!(result.message.contains("does not take as a module"), "{result:?}");
    }
}

#[tokio::test]
async fn what_never_ends_ends_in_time() {
    let head = |length: u64| format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{{\"token\":\"").into_bytes();
    let mut cases = tokio::task::JoinSet::new();
    for (name, act, verdict) in [
        ("endless", Act::SayForEver as fn(Vec<u8>) -> Act, V::NotARegistry),
        ("dripping", Act::SayAndDrip, V::Unreachable),
        ("silent", |_| Act::Stall, V::Unreachable),
        ("closing", |_| Act::Close, V::Unreachable),
    ] {
        let bytes = head(1 << 40);
        cases.spawn(async move {
            let authority = Authority::new();
            let service = Stage::start(&authority, move |_| act(bytes.clone())).await;
            let realm = format!("https://localhost:{}/token", service.port);
            let stage = Stage::start(&authority, move |_| Act::Say(bearer(&realm))).await;
            let began = Instant::now();
            let result = test(&stage.host(), Some(&authority.pem), None).await;
            assert_eq!(result.verdict, verdict, "{name}: {result:?}");
            assert!(result.message.contains("token service `localhost`"), "{name}: {result:?}");
            assert!(began.elapsed() < Duration::from_secs(20), "{name}: {:?}", began.elapsed());
        });
    }
    cases.join_all().await;
}

#[tokio::test]
async fn faults_of_certificates_are_told_apart() {
    let authority = Authority::new();
    let listen = |names: &'static [&'static str], until| Stage::with(authority.listener(names, until), |_| Act::Close);

    let stage = listen(&["localhost"], 2100).await;
    let result = test(&stage.host(), None, None).await;
    assert_eq!(result.verdict, V::Tls, "{result:?}");
    assert!(result.message.contains("subject `stage leaf`, issuer `stage authority`"), "{result:?}");
    assert!(result.hint.unwrap().contains("private CA"));
    assert!(stage.heard().is_empty());

    let stage = listen(&["localhost"], 2002).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    assert!(result.verdict == V::Tls && result.message.contains("expired"), "{result:?}");

    let stage = listen(&["registry.example"], 2100).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    assert!(result.verdict == V::Tls && result.message.contains("another name"), "{result:?}");

    let result = test(&stage.host(), Some("-----BEGIN CERTIFICATE-----\nAAAA\n"), None).await;
    assert!(result.verdict == V::Tls && result.message.contains("private CA"), "{result:?}");
}

#[tokio::test]
async fn plain_http_and_nobody_are_told_apart() {
    nigari::tls::install_provider();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let plain = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 64];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let result = test(&format!("localhost:{port}"), None, None).await;
    assert!(result.verdict == V::Tls && result.message.contains("without TLS"), "{result:?}");
    plain.abort();
    let _ = plain.await;
    let result = test(&format!("localhost:{port}"), None, None).await;
    assert!(result.verdict == V::Unreachable && result.message.contains("refuses"), "{result:?}");
    let result = test("no-such-host.invalid", None, None).await;
    assert!(result.verdict == V::Unreachable && result.message.contains("resolved"), "{result:?}");
    let result = test("169.254.169.254", None, None).await;
    assert!(result.verdict == V::Unreachable && result.message.contains("never contacted"), "{result:?}");
}
