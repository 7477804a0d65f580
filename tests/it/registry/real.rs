//! The connection test against distribution's own registry, with TLS by a private authority and htpasswd.

use std::path::Path;

use nigari::protocol::api::{ConnectionTest, ConnectionVerdict as V};
use nigari::registry::{TestTarget, test_connection};
use nigari::secret::Secret;
use support::module::Package;
use support::registry::Registry;

/// Passwords that something on the way might mangle.
const ODD: [&str; 8] = [
    "with:colon:s",
    "${path.module} $HOME `id`",
    "quote\"s and 'those'",
    "back\\slash\\n",
    "Grüße, Жук €",
    "per%41cent%",
    " leading and trailing ",
    "a/b?c#d&e=f+g",
];

async fn test(registry: &Registry, user: &str, password: &str, repository: Option<&str>) -> ConnectionTest {
    let ca_pem = std::fs::read_to_string(registry.ca_file()).unwrap();
    let result = test_connection(TestTarget {
        address: &registry.host().parse().unwrap(),
        username: user,
        secret: &Secret::from(password),
        ca_pem: Some(&ca_pem),
        token_service: None,
        repository,
    })
    .await;
    assert!(!format!("{result:?}").contains(password), "{result:?}");
    result
}

fn start(program: &Path, directory: &Path) -> Registry {
    nigari::tls::install_provider();
    Registry::start(program, directory, "alice", "right-password").unwrap()
}

#[tokio::test]
async fn a_real_registry_takes_right_and_refuses_wrong_passwords() {
    let Some(program) = support::require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let mut registry = start(&program, directory.path());
    registry.push("team/net", "1.0.0", &Package::greeting()).unwrap();

    let result = test(&registry, "alice", "right-password", None).await;
    assert_eq!(result.verdict, V::Ok, "{result:?}");
    let result = test(&registry, "alice", "right-password", Some("team/net:1.0.0")).await;
    assert!(result.verdict == V::Ok && result.message.contains("is a module package"), "{result:?}");
    for (user, password) in [("alice", "wrong-password"), ("bob", "right-password")] {
        let result = test(&registry, user, password, None).await;
        assert_eq!(result.verdict, V::Denied, "{result:?}");
    }
    for absent in ["team/net:2.0.0", "team/none"] {
        let result = test(&registry, "alice", "right-password", Some(absent)).await;
        assert!(result.verdict == V::NotFound && result.message.contains("404"), "{result:?}");
        assert!(result.hint.is_some_and(|hint| hint.contains("check name and tag")));
    }
    registry.stop().unwrap();
    let result = test(&registry, "alice", "right-password", None).await;
    assert_eq!(result.verdict, V::Unreachable, "{result:?}");
}

#[tokio::test]
async fn odd_passwords_authenticate_for_real() {
    let Some(program) = support::require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = start(&program, directory.path());
    for password in ODD {
        registry.set_password("robot$net+ci", password).unwrap();
        let result = test(&registry, "robot$net+ci", password, None).await;
        assert_eq!(result.verdict, V::Ok, "{password}: {result:?}");
        let result = test(&registry, "robot$net+ci", &format!("{password}x"), None).await;
        assert_eq!(result.verdict, V::Denied, "{password}: {result:?}");
    }
}

#[tokio::test]
async fn a_real_registry_with_an_unknown_authority_sees_no_credential() {
    let Some(program) = support::require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = start(&program, directory.path());
    let result = test_connection(TestTarget {
        address: &registry.host().parse().unwrap(),
        username: "alice",
        secret: &Secret::from("right-password"),
        ca_pem: None,
        token_service: None,
        repository: None,
    })
    .await;
    assert_eq!(result.verdict, V::Tls, "{result:?}");
    assert!(result.message.contains("issuer `private authority of a test registry`"), "{result:?}");
    assert!(registry.requests().is_empty());
}

#[tokio::test]
async fn a_wrong_private_authority_gets_another_hint_than_none() {
    let Some(program) = support::require::registry() else { return };
    let directory = tempfile::tempdir().unwrap();
    let registry = start(&program, directory.path());
    let wrong = support::certificate::Authority::new("somebody else").pem();
    let mut hints = Vec::new();
    for ca_pem in [None, Some(wrong.as_str())] {
        let result = test_connection(TestTarget {
            address: &registry.host().parse().unwrap(),
            username: "alice",
            secret: &Secret::from("right-password"),
            ca_pem,
            token_service: None,
            repository: None,
        })
        .await;
        assert_eq!(result.verdict, V::Tls, "{result:?}");
        hints.push(result.hint.unwrap());
    }
    assert!(hints[0].contains("give the authority's certificate"), "{hints:?}");
    assert!(hints[1].contains("is not the one that issued it"), "{hints:?}");
    assert!(registry.requests().is_empty());
}
