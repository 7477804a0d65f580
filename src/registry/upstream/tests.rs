//! Which credential is for what, without a registry.

use super::{Ask, Outward, Place, Unusable, Upstream};
use crate::protocol::agent::RegistryCredential;
use crate::protocol::id::IntegrationId;

fn credential(address: &str, username: &str) -> RegistryCredential {
    RegistryCredential {
        integration: IntegrationId::generate(),
        name: format!("{username}-integration"),
        address: address.parse().unwrap(),
        username: username.into(),
        secret: "s3cret".into(),
        ca_pem: None,
        token_service: None,
        whole_run: false,
    }
}

fn upstream(addresses: &[&str]) -> Upstream {
    crate::tls::install_provider();
    let credentials: Vec<_> = addresses.iter().map(|address| credential(address, "u")).collect();
    let credentials: Vec<_> = credentials.iter().collect();
    Upstream::new("h.example", &credentials, Outward::default()).unwrap()
}

#[test]
fn the_longest_path_wins_and_the_widest_answers_for_the_base() {
    let upstream = upstream(&["h.example/team/net", "h.example", "h.example/team"]);
    let chosen = |place: &Place| upstream.chosen(place);
    let of = |name: &str| chosen(&Place::Repository(name.into()));
    assert_eq!((of("team/net"), of("team/net/x"), of("team/db"), of("teams/x")), (Some(0), Some(0), Some(2), Some(1)));
    assert_eq!((chosen(&Place::Base), chosen(&Place::Elsewhere(None))), (Some(1), None));
}

#[test]
fn a_path_that_no_credential_is_for_has_none() {
    let upstream = upstream(&["h.example/one", "h.example/two"]);
    assert_eq!(upstream.chosen(&Place::Repository("three/x".into())), None);
    assert!(upstream.has_credentials() && !upstream.has_credential_for_all());
}

#[test]
fn only_paths_in_their_normal_form_are_sent() {
    let upstream = upstream(&["h.example"]);
    for path in ["/v2/", "/v2/a/manifests/1?n=1", "/a%20b", "/"] {
        assert_eq!(upstream.url(path).unwrap().as_str(), format!("https://h.example{path}"), "{path}");
    }
    for path in [
        "",
        "v2/",
        "@evil.example/",
        ":444/",
        "/v2/a/../b/manifests/1",
        "/v2/./a",
        "/v2/%2e%2e/a",
        "/a b",
        "/a\\b",
        "/a#x",
        ".evil.example/",
        "/v2/a\tb",
        "/\u{e9}",
    ] {
        assert!(upstream.url(path).is_none(), "{path}");
    }
}

#[test]
fn what_no_header_can_carry_is_refused_by_its_name() {
    let odd = credential("h.example", "a:b");
    let refused = Upstream::new("h.example", &[&odd], Outward::default()).unwrap_err();
    assert!(matches!(&refused, Unusable::Credential { name } if name == "a:b-integration"), "{refused}");
    assert!(!refused.to_string().contains("s3cret"));
}

#[tokio::test]
async fn a_forbidden_address_is_never_asked() {
    crate::tls::install_provider();
    let upstream = Upstream::new("169.254.169.254", &[], Outward::default()).unwrap();
    let url = upstream.url("/v2/").unwrap();
    let headers = reqwest::header::HeaderMap::new();
    let ask = Ask { method: reqwest::Method::GET, url, headers, place: Place::Base, own: None };
    assert!(upstream.ask(&ask).await.unwrap_err().to_string().contains("never contacted"));
}
