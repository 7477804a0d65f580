//! Token services: who is asked, what they may answer, and whom the credential never reaches.

use nigari::protocol::api::{ConnectionTest, ConnectionVerdict as V};

use super::stage::{Act, Authority, Stage, answer, basic, bearer, test, test_held_to};

/// Tests a registry that names this realm.
async fn with_realm(authority: &Authority, realm: String) -> ConnectionTest {
    let stage = Stage::start(authority, move |_| Act::Say(bearer(&realm))).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    stage.must_not_have_seen_a_credential();
    result
}

#[tokio::test]
async fn a_realm_that_is_a_trick_never_sees_the_credential() {
    let authority = Authority::new();
    let sentinel = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], r#"{"token":"x"}"#))).await;
    let port = sentinel.port;
    for realm in [
        format!("http://localhost:{port}/token"),
        format!("https://127.0.0.1:{port}/token"),
        format!("https://127.1:{port}/token"),
        format!("https://0x7f000001:{port}/token"),
        format!("https://[::ffff:127.0.0.1]:{port}/token"),
        format!("https://localhost@127.0.0.1:{port}/token"),
        format!("https://u:p@localhost:{port}/token"),
        format!("https:\\\\127.0.0.1:{port}/token"),
        "https://169.254.169.254/latest/meta-data".to_owned(),
        "https://10.0.0.1/token".to_owned(),
        "https://8.8.8.8/token".to_owned(),
        "//evil.example/token".to_owned(),
        "file:///etc/passwd".to_owned(),
        String::new(),
    ] {
        let result = with_realm(&authority, realm.clone()).await;
        assert_eq!(result.verdict, V::RegistryFault, "{realm}: {result:?}");
        assert!(result.message.contains("sent elsewhere"), "{realm}: {result:?}");
    }
    assert!(sentinel.heard().is_empty(), "{:?}", sentinel.heard());
}

#[tokio::test]
async fn answers_of_token_services_have_their_verdicts() {
    let authority = Authority::new();
    let long = format!(r#"{{"token":"{}"}}"#, "a".repeat(200_000));
    for (bytes, verdict, word) in [
        (answer("401 Unauthorized", &[], ""), V::Denied, "401"),
        (answer("403 Forbidden", &[], "denied: denied"), V::Denied, "403"),
        (answer("400 Bad", &[], ""), V::RegistryFault, "400"),
        (answer("406 Not", &[], ""), V::RegistryFault, "406"),
        (answer("404 Not", &[], ""), V::RegistryFault, "no tokens"),
        (answer("405 Not", &[], ""), V::RegistryFault, "no tokens"),
        (answer("429 Slow", &[("Retry-After", "3")], ""), V::RegistryFault, "3 s"),
        (answer("502 Oh", &[], ""), V::RegistryFault, "502"),
        (answer("200 OK", &[("Content-Type", "text/html")], "<html>"), V::RegistryFault, "web page"),
        (answer("200 OK", &[], "{}"), V::RegistryFault, "without a token"),
        (answer("200 OK", &[], r#"{"token":""}"#), V::RegistryFault, "without a token"),
        (answer("200 OK", &[], r#"{"token":"a\r\nX: y"}"#), V::RegistryFault, "without a token"),
        (answer("200 OK", &[], "garbage"), V::RegistryFault, "without a token"),
        (answer("200 OK", &[], &long), V::NotARegistry, "too large"),
    ] {
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(120)]).into_owned();
        let service = Stage::start(&authority, move |_| Act::Say(bytes.clone())).await;
        let result = with_realm(&authority, format!("https://localhost:{}/t?x=1", service.port)).await;
        assert_eq!(result.verdict, verdict, "{shown}: {result:?}");
        assert!(result.message.contains(word), "{shown}: {result:?}");
        let heard = service.heard();
        assert_eq!(heard.len(), 1, "{shown}");
        assert!(heard[0].line.starts_with("GET /t?x=1&service=s "), "{}", heard[0].line);
        assert!(heard[0].authorization().unwrap().starts_with("Basic "), "{}", heard[0].head);
    }
}

/// A registry with a token service in it; `/v2/` takes tokens as `taken` says, and there is one manifest.
async fn registry_with_tokens(authority: &Authority, taken: bool) -> Stage {
    Stage::start(authority, move |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        let scoped = heard.line.contains("scope=repository%3Ateam%2Fnet%3Apull");
        let module = r#"{"artifactType":"application/vnd.opentofu.modulepkg","layers":[{"mediaType":"archive/zip"}]}"#;
        Act::Say(match (heard.line.as_str(), heard.authorization()) {
            (line, _) if line.starts_with("GET /token") && scoped => answer("200 OK", &[], r#"{"token":"pull"}"#),
            (line, _) if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"access_token":"bare"}"#),
            (line, Some("Bearer bare")) if line.starts_with("GET /v2/ ") && taken => answer("200 OK", &[], "{}"),
            (line, Some("Bearer pull")) if line.starts_with("HEAD /v2/team/net/manifests/1 ") => {
                answer("200 OK", &[], "")
            }
            (line, Some("Bearer pull")) if line.starts_with("GET /v2/team/net/manifests/1 ") => {
                answer("200 OK", &[], module)
            }
            _ => bearer(&format!("https://{host}/token")),
        })
    })
    .await
}

#[tokio::test]
async fn a_token_is_asked_for_and_shown_as_opentofu_does() {
    let authority = Authority::new();
    let stage = registry_with_tokens(&authority, true).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    assert_eq!(result.verdict, V::Ok, "{result:?}");
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net:1")).await;
    assert!(result.verdict == V::Ok && result.message.contains("is a module package"), "{result:?}");
    let result = test(&stage.host(), Some(&authority.pem), Some("team/other:1")).await;
    assert_eq!(result.verdict, V::NoAccess, "{result:?}");
    // A path of the integration is put before a repository that is not below it.
    let result = test(&format!("{}/team", stage.host()), Some(&authority.pem), Some("net:1")).await;
    assert_eq!(result.verdict, V::Ok, "{result:?}");
    for heard in stage.heard() {
        let shown = heard.authorization().unwrap_or_default();
        assert_eq!(shown.starts_with("Basic "), heard.line.starts_with("GET /token"), "{}", heard.head);
    }
}

#[tokio::test]
async fn a_token_that_works_for_the_repository_alone_is_told() {
    let authority = Authority::new();
    let stage = registry_with_tokens(&authority, false).await;
    let result = test(&stage.host(), Some(&authority.pem), None).await;
    assert!(result.verdict == V::RegistryFault && result.message.contains("does not take its token"), "{result:?}");
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net:1")).await;
    assert!(result.verdict == V::Ok && result.hint.as_deref().unwrap().contains("before 1.13"), "{result:?}");
}

#[tokio::test]
async fn a_realm_that_changes_after_the_credential_was_seen_is_checked_again() {
    let authority = Authority::new();
    let sentinel = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], r#"{"token":"x"}"#))).await;
    let evil = format!("https://127.0.0.1:{}/token", sentinel.port);
    let stage = Stage::start(&authority, move |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        Act::Say(match heard.line.as_str() {
            line if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"x"}"#),
            line if line.starts_with("HEAD ") => bearer(&evil),
            _ if heard.authorization().is_some() => answer("200 OK", &[], "{}"),
            _ => bearer(&format!("https://{host}/token")),
        })
    })
    .await;
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net")).await;
    assert_eq!(result.verdict, V::RegistryFault, "{result:?}");
    assert!(sentinel.heard().is_empty());
}

#[tokio::test]
async fn a_second_token_service_for_the_repository_never_sees_the_credential() {
    let authority = Authority::new();
    let sentinel = Stage::start(&authority, |_| Act::Say(answer("200 OK", &[], r#"{"token":"x"}"#))).await;
    // A name of the same host, which every other rule allows.
    let other = format!("https://localhost:{}/token", sentinel.port);
    let stage = Stage::start(&authority, move |heard| {
        let host = heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
        Act::Say(match heard.line.as_str() {
            line if line.starts_with("GET /token") => answer("200 OK", &[], r#"{"token":"x"}"#),
            line if line.starts_with("HEAD ") => bearer(&other),
            _ if heard.authorization().is_some() => answer("200 OK", &[], "{}"),
            _ => bearer(&format!("https://{host}/token")),
        })
    })
    .await;
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net")).await;
    assert!(result.verdict == V::RegistryFault && result.message.contains("than for `/v2/`"), "{result:?}");
    // The credential had been sent by then, so what the registry says is not repeated.
    assert!(!result.message.contains(&sentinel.port.to_string()), "{result:?}");
    assert!(result.token_service.is_none() && sentinel.heard().is_empty(), "{result:?}");
}

#[tokio::test]
async fn a_test_tells_by_which_token_service_it_succeeded_and_is_held_to_it_the_next_time() {
    let authority = Authority::new();
    let stage = registry_with_tokens(&authority, true).await;
    let own = format!("https://{}", stage.host());
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net:1")).await;
    assert_eq!(result.token_service.as_deref(), Some(own.as_str()), "{result:?}");
    // Held to it, it goes on as before; the repository that may not be pulled proves no service.
    let result = test_held_to(Some(&own), &stage.host(), Some(&authority.pem), Some("team/net:1")).await;
    assert!(result.verdict == V::Ok && result.token_service.as_deref() == Some(own.as_str()), "{result:?}");
    let result = test_held_to(Some(&own), &stage.host(), Some(&authority.pem), Some("team/other:1")).await;
    assert!(result.verdict == V::NoAccess && result.token_service.is_none(), "{result:?}");
    // Held to another, nothing is sent, and both are named.
    let stage = registry_with_tokens(&authority, true).await;
    let result = test_held_to(Some("https://auth.example"), &stage.host(), Some(&authority.pem), None).await;
    assert_eq!((result.verdict, &result.token_service), (V::RegistryFault, &None), "{result:?}");
    for named in [format!("`https://{}`", stage.host()), "`https://auth.example`".to_owned()] {
        assert!(result.message.contains(&named), "{result:?}");
    }
    assert!(result.hint.as_deref().unwrap().contains("nigari registry update"), "{result:?}");
    stage.must_not_have_seen_a_credential();
}

#[tokio::test]
async fn a_registry_that_wants_basic_has_no_token_service() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |heard| {
        Act::Say(if heard.authorization().is_some() { answer("200 OK", &[], "{}") } else { basic() })
    })
    .await;
    for held_to in [None, Some("https://auth.example")] {
        let result = test_held_to(held_to, &stage.host(), Some(&authority.pem), None).await;
        assert_eq!((result.verdict, &result.token_service), (V::Ok, &None), "{result:?}");
    }
}

#[tokio::test]
async fn an_open_registry_that_guards_its_repositories_proves_the_credential() {
    let authority = Authority::new();
    let stage = Stage::start(&authority, |heard| {
        Act::Say(match (heard.line.as_str(), heard.authorization()) {
            (line, _) if line.starts_with("GET /v2/ ") => answer("200 OK", &[], "{}"),
            (_, None) => basic(),
            (line, Some(_)) if line.contains("/wrong/") => basic(),
            _ => answer("200 OK", &[], ""),
        })
    })
    .await;
    let result = test(&stage.host(), Some(&authority.pem), Some("team/net")).await;
    assert_eq!(result.verdict, V::Ok, "{result:?}");
    let result = test(&stage.host(), Some(&authority.pem), Some("wrong/net")).await;
    assert_eq!(result.verdict, V::Denied, "{result:?}");
    let result = test(&stage.host(), Some(&authority.pem), Some("../x")).await;
    assert!(result.verdict == V::NoAccess && result.message.contains("not the name"), "{result:?}");
}
