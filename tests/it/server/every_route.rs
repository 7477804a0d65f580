//! Every route there is, with every token that it must not take.

use nigari::protocol::api::TokenKind;
use nigari::server::api::{Audience, routes};
use reqwest::Method;
use serde_json::json;

use super::house::House;

/// A path with something in its places.
fn filled(path: &str) -> String {
    filled_with(path, "x")
}

fn filled_with(path: &str, place: &str) -> String {
    let mut filled = String::new();
    for part in path.split_inclusive('/') {
        filled.push_str(if part.starts_with('{') { place } else { part.trim_end_matches('/') });
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

/// What may stand in a path's place.
const PLACES: &[&str] = &["x", "%00", "..%2f..%2fetc", "%F0%9F%94%91", "'%20OR%20'1'='1", "plan", "fetch"];

/// Bodies that no route expects, with their media types.
fn nonsense() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("application/json", b"{\"nonsense\":1}".to_vec()),
        ("application/json", b"{\"name\":".to_vec()),
        ("application/json", b"{\"name\":\"\\u0000\",\"message\":\"\\u0000\",\"run_root\":\"\\u0000\"}".to_vec()),
        ("application/json", b"[[[[[[[[[[".repeat(1000)),
        ("application/json", Vec::new()),
        ("application/octet-stream", vec![0xff; 100]),
        ("application/json", vec![b' '; 2 * 1024 * 1024]),
    ]
}

const SHORT: std::time::Duration = std::time::Duration::from_millis(5);

#[tokio::test]
async fn no_route_stumbles_over_nonsense_on_sqlite() {
    stumble(&House::start_with(|settings| settings.hold = SHORT).await).await;
}

#[tokio::test]
async fn no_route_stumbles_over_nonsense_on_postgresql() {
    let Some(database) = support::postgres::Database::new() else { return };
    let url = Some(database.url().into());
    let house = House::start_with(|settings| (settings.hold, settings.database_url) = (SHORT, url)).await;
    stumble(&house).await;
}

async fn stumble(house: &House) {
    let ids = places_of_things(house).await;
    let tokens = tokens(house).await;
    for route in routes().list().iter().filter(|route| route.audience != Audience::Anybody) {
        let (_, token, _) = tokens.iter().find(|(kind, ..)| route.audience.kinds().contains(kind)).unwrap();
        for place in PLACES.iter().map(ToString::to_string).chain(ids.iter().cloned()) {
            let path = filled_with(&route.path, &place);
            let bodies =
                if route.method == Method::GET || route.method == Method::DELETE { vec![] } else { nonsense() };
            for (media_type, body) in bodies {
                let request = house.request_to(route.method.clone(), &path, token);
                let answer = House::read(request.header("content-type", media_type).body(body)).await;
                assert!(answer.status.as_u16() < 500, "{route:?} {place} {answer:?}");
                assert!(!answer.status.is_success() || answer.text.is_empty(), "{route:?} {place} {answer:?}");
            }
            if route.method == Method::GET {
                for query in ["", "?x=1", "?workspace=%00&state=%00&after=%00&limit=%00"] {
                    let answer = House::read(house.request_to(Method::GET, &format!("{path}{query}"), token)).await;
                    assert!(answer.status.as_u16() < 500, "{route:?} {place} {query} {answer:?}");
                }
            }
        }
    }
    house.get("/whoami").await.expect(200);
}

/// Ids and names of things that exist.
async fn places_of_things(house: &House) -> Vec<String> {
    let workspace = house.post("/workspaces", json!({"name": "w"})).await.expect(201).field("id");
    let new = json!({"name": "i", "url": "https://127.0.0.1:9", "username": "u", "secret": "s"});
    let integration = house.post("/registry-integrations", new).await.expect(201).field("id");
    vec![workspace, integration, nigari::protocol::id::RunId::generate().to_string()]
}
