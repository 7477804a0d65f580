//! Every route there is, with every token that it must not take.

use nigari::protocol::api::TokenKind;
use nigari::server::api::{Audience, routes};
use reqwest::Method;
use serde_json::json;

use super::house::House;

/// A path with something in its places.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    for part in path.split_inclusive('/') {
        filled.push_str(if part.starts_with('{') { "x" } else { part.trim_end_matches('/') });
        if part.ends_with('/') {
            filled.push('/');
        }
    }
    format!("/{filled}")
}

/// A token of each kind that works, and one of each that has expired.
async fn tokens(house: &House) -> Vec<(TokenKind, String, String)> {
    let session = |token: String| async move {
        let request = json!({
            "protocol_min": 1, "protocol_max": 1, "name": "a", "version": "0", "concurrency": 1,
            "tofu_version": "1.12.6", "run_root": "/run/x",
        });
        house.send(Method::POST, "/agent/session", &token, Some(&request)).await.expect(200)
    };
    let opened = session(house.join.clone()).await;
    let user = |seconds: u64| json!({"name": "u", "expires_in_seconds": seconds});
    let short_user = house.post("/tokens", user(1)).await.expect(201).field("text");
    let short_join =
        house.post("/join-tokens", json!({"name": "j", "expires_in_seconds": 1})).await.expect(201).field("text");
    vec![
        (TokenKind::User, house.admin.clone(), short_user),
        (TokenKind::Join, house.join.clone(), short_join),
        (TokenKind::Agent, opened.field("identity"), String::new()),
        (TokenKind::Session, opened.field("session"), opened.field("session")),
    ]
}

#[tokio::test]
async fn no_route_takes_a_token_that_is_not_for_it() {
    let house = House::start().await;
    let tokens = tokens(&house).await;
    let routes = routes();
    assert!(routes.list().len() > 10);
    for route in routes.list().iter().filter(|route| route.audience != Audience::Anybody) {
        let path = filled(&route.path);
        let body = json!({});
        for nonsense in ["", "x", "ngr_user", "ngr_user_00_00"] {
            let answer = house.send(route.method.clone(), &path, nonsense, Some(&body)).await;
            answer.expect_problem(401, "unauthorized");
        }
        for (kind, token, _) in tokens.iter().filter(|(kind, ..)| !route.audience.kinds().contains(kind)) {
            let answer = house.send(route.method.clone(), &path, token, Some(&body)).await;
            let answer = answer.expect_problem(401, "unauthorized");
            assert!(answer.field("detail").contains(kind.word()), "{route:?}: {answer:?}");
            assert!(answer.field("hint").contains(route.audience.kinds()[0].word()), "{route:?}: {answer:?}");
        }
        for (_, token, _) in tokens.iter().filter(|(kind, ..)| route.audience.kinds().contains(kind)) {
            // One digit of the secret changed, checksum put right: known id, wrong secret.
            let answer = house.send(route.method.clone(), &path, &forged(token), Some(&body)).await;
            answer.expect_problem(401, "unauthorized");
        }
    }
    house.clock.advance(std::time::Duration::from_hours(2));
    for route in routes.list().iter().filter(|route| route.audience != Audience::Anybody) {
        for (_, _, expired) in
            tokens.iter().filter(|(kind, _, expired)| route.audience.kinds().contains(kind) && !expired.is_empty())
        {
            let answer = house.send(route.method.clone(), &filled(&route.path), expired, Some(&json!({}))).await;
            let answer = answer.expect_problem(401, "unauthorized");
            assert!(answer.field("detail").contains("expired"), "{route:?}: {answer:?}");
        }
    }
}

/// The same token with another secret and a checksum that fits.
fn forged(token: &str) -> String {
    let (checked, _) = token.split_at(token.len() - 8);
    let (head, last) = checked.split_at(checked.len() - 1);
    let checked = format!("{head}{}", if last == "0" { "1" } else { "0" });
    let mut crc = flate2::Crc::new();
    crc.update(checked.as_bytes());
    format!("{checked}{:08x}", crc.sum())
}
