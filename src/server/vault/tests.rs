//! The vault: every byte and every part of the context counts.

use super::{Context, Sealed, Vault, VaultError};
use crate::protocol::id::IntegrationId;
use crate::secret::Secret;
use crate::server::policy::{Permit, Protected, Role};
use crate::server::vault::RootKey;

fn vault() -> Vault {
    Vault::new(&RootKey::generate().unwrap()).unwrap()
}

fn seals(protected: Protected) -> Permit {
    Role::Admin.seal(protected).unwrap()
}

fn opens(protected: Protected) -> Permit {
    Role::Admin.open(protected).unwrap()
}

fn context() -> Context {
    Context::new(Protected::RegistrySecret, &"reg-1", 1, "secret")
}

#[test]
fn what_was_sealed_opens() {
    let vault = vault();
    let sealed = vault.seal(&seals(Protected::RegistrySecret), &context(), &Secret::from("hünter22")).unwrap();
    let secret = vault.open(&opens(Protected::RegistrySecret), &context(), &sealed).unwrap();
    assert_eq!(secret.expose(), "hünter22");
    assert!(!sealed.as_bytes().windows(6).any(|window| window == b"nter22"));
}

#[test]
fn every_byte_counts() {
    let vault = vault();
    let sealed = vault.seal(&seals(Protected::RegistrySecret), &context(), &Secret::from("hunter22")).unwrap();
    for at in 0..sealed.as_bytes().len() {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[at] ^= 1;
        let opened = vault.open(&opens(Protected::RegistrySecret), &context(), &Sealed::from_bytes(bytes));
        assert!(opened.is_err(), "byte {at} may be changed unseen");
    }
    for length in 0..sealed.as_bytes().len() {
        let cut = Sealed::from_bytes(sealed.as_bytes()[..length].to_vec());
        assert!(vault.open(&opens(Protected::RegistrySecret), &context(), &cut).is_err(), "cut to {length}");
    }
}

#[test]
fn no_context_opens_what_another_sealed() {
    let vault = vault();
    let plain = |id: &str, version, field| Context::new(Protected::RegistrySecret, &id, version, field);
    let sent = |url: &str, user: &str, ca: Option<&str>| plain("a", 1, "f").sent_to(&url.parse().unwrap(), user, ca);
    let contexts = [
        plain("a", 1, "f"),
        plain("b", 1, "f"),
        plain("a", 2, "f"),
        plain("a", 1, "g"),
        plain("af", 1, ""),
        plain("", 1, "af"),
        sent("h.example", "u", None),
        sent("i.example", "u", None),
        sent("h.example:5000", "u", None),
        sent("h.example/p", "u", None),
        sent("h.example/p/q", "u", None),
        sent("h.example", "v", None),
        sent("h.example", "", None),
        sent("h.example", "u", Some("ca")),
        sent("h.example", "u", Some("cb")),
        sent("h.example", "u", None).held_to(Some("https://a.example")),
        sent("h.example", "u", None).held_to(Some("https://b.example")),
        sent("h.example", "u", Some("ca")).held_to(Some("https://a.example")),
        plain("a", 1, "f").within(&"b"),
        plain("a", 1, "f").within(&"b").within(&"c"),
        plain("a", 1, "f").within(&"bc"),
        Context::new(Protected::Variable, &"a", 1, "f"),
        Context::new(Protected::State, &"a", 1, "f"),
    ];
    // What was sealed before anything was held to a token service goes on opening.
    assert_eq!(sent("h.example", "u", None).held_to(None), sent("h.example", "u", None));
    // By their places: what binds nothing would make two of them equal.
    for (at, sealing) in contexts.iter().enumerate() {
        let sealed = vault.seal_bytes(&seals(sealing.protected()), sealing, b"x").unwrap();
        for (other, opening) in contexts.iter().enumerate() {
            let opened = vault.open_bytes(&opens(opening.protected()), opening, &sealed);
            assert_eq!(opened.is_ok(), at == other, "{sealing:?} by {opening:?}");
        }
    }
}

#[test]
fn a_mark_is_for_its_bytes_its_context_and_its_key() {
    let ours = vault();
    let mark = ours.mark(&seals(Protected::RegistrySecret), &context(), b"bytes").unwrap();
    let passes = |vault: &Vault, context: &Context, bytes: &[u8], mark: &[u8]| {
        vault.check_mark(&opens(Protected::RegistrySecret), context, bytes, mark).is_ok()
    };
    assert!(passes(&ours, &context(), b"bytes", &mark));
    assert!(!passes(&ours, &context(), b"byte", &mark));
    assert!(!passes(&ours, &context().within(&"x"), b"bytes", &mark));
    assert!(!passes(&ours, &context(), b"bytes", &mark[1..]));
    assert!(!passes(&ours, &context(), b"bytes", b""));
    assert!(!passes(&vault(), &context(), b"bytes", &mark));
    let refused = ours.mark(&opens(Protected::RegistrySecret), &context(), b"bytes").unwrap_err();
    assert!(matches!(refused, VaultError::NotPermitted));
}

#[test]
fn another_key_opens_nothing_and_says_so() {
    let (ours, other) = (vault(), vault());
    let sealed = ours.seal(&seals(Protected::RegistrySecret), &context(), &Secret::from("x")).unwrap();
    let refused = other.open(&opens(Protected::RegistrySecret), &context(), &sealed).unwrap_err();
    assert!(matches!(refused, VaultError::OtherKey { .. }), "{refused}");
    let check = ours.check_value().unwrap();
    assert!(ours.recognises(&check).is_ok());
    assert!(other.recognises(&check).is_err());
}

#[test]
fn a_permit_for_something_else_is_refused() {
    let vault = vault();
    let sealed = vault.seal(&seals(Protected::RegistrySecret), &context(), &Secret::from("x")).unwrap();
    for wrong in [opens(Protected::Variable), seals(Protected::RegistrySecret)] {
        let refused = vault.open(&wrong, &context(), &sealed).unwrap_err();
        assert!(matches!(refused, VaultError::NotPermitted), "{wrong:?}");
    }
    let refused = vault.seal(&opens(Protected::RegistrySecret), &context(), &Secret::from("x")).unwrap_err();
    assert!(matches!(refused, VaultError::NotPermitted));
}

#[test]
fn chunks_stay_where_they_are() {
    let vault = vault();
    let context = Context::new(Protected::Log, &IntegrationId::generate(), 1, "log");
    let (key, wrapped) = vault.new_data_key(&seals(Protected::Log), &context).unwrap();
    let (other, _) = vault.new_data_key(&seals(Protected::Log), &context).unwrap();
    let chunks: Vec<_> = (0..3).map(|number| key.seal_chunk(number, b"chunk").unwrap()).collect();
    let key = vault.open_data_key(&opens(Protected::Log), &context, &wrapped).unwrap();
    for (number, chunk) in (0..).zip(&chunks) {
        for at in 0..3 {
            assert_eq!(key.open_chunk(at, chunk).is_ok(), at == number, "chunk {number} at {at}");
        }
        assert!(other.open_chunk(number, chunk).is_err());
    }
    assert!(vault.open_data_key(&opens(Protected::State), &context, &wrapped).is_err());
}
