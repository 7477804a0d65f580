//! The token service that a credential is held to.
//!
//! Rule: the one that the server has kept from a connection test, or else the first that is named; any other is shown
//! nothing. It is an origin (scheme, host and port): its path may differ, because some registries have one for each
//! repository (Artifactory).

use std::sync::OnceLock;

use url::Url;

/// One token service at most.
#[derive(Debug, Default)]
pub(super) struct Pin {
    kept: Option<String>,
    admitted: OnceLock<String>,
}

impl Pin {
    /// Held already to what the server has kept, if it has kept one.
    pub(super) fn kept_as(service: Option<&str>) -> Self {
        Self { kept: service.map(str::to_owned), admitted: OnceLock::new() }
    }

    /// Whether this may be the token service. One that is no `https` URL as [`Url`] writes it equals none, so that
    /// whatever else was kept admits nobody.
    pub(super) fn admits(&self, realm: &Url) -> bool {
        let service = realm.origin().ascii_serialization();
        self.kept.as_ref().is_none_or(|kept| *kept == service)
            && *self.admitted.get_or_init(|| service.clone()) == service
    }

    /// What the server has kept.
    pub(super) fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// What was admitted.
    pub(super) fn admitted(&self) -> Option<&str> {
        self.admitted.get().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::Pin;

    fn admits(pin: &Pin, realm: &str) -> bool {
        pin.admits(&realm.parse().unwrap())
    }

    #[test]
    fn the_first_token_service_is_the_only_one() {
        let pin = Pin::default();
        assert_eq!((pin.kept(), pin.admitted()), (None, None));
        assert!(admits(&pin, "https://auth.example/token?x=1"));
        for (realm, expected) in [
            ("https://auth.example/other/path", true),
            ("https://AUTH.example:443/token", true),
            ("https://auth.example:444/token", false),
            ("https://auth.example.evil.example/token", false),
            ("https://evil.example/auth.example", false),
            ("http://auth.example/token", false),
        ] {
            assert_eq!(admits(&pin, realm), expected, "{realm}");
        }
        assert_eq!(pin.admitted(), Some("https://auth.example"));
    }

    #[test]
    fn what_was_kept_is_there_before_the_first() {
        let pin = Pin::kept_as(Some("https://auth.example:8443"));
        assert!(!admits(&pin, "https://evil.example/token") && !admits(&pin, "https://auth.example/token"));
        assert_eq!((pin.kept(), pin.admitted()), (Some("https://auth.example:8443"), None));
        assert!(admits(&pin, "https://auth.example:8443/token"));
        assert_eq!(pin.admitted(), Some("https://auth.example:8443"));
    }

    #[test]
    fn what_cannot_be_an_origin_admits_nobody() {
        for kept in ["", "null", "https://auth.example/", "auth.example", "*"] {
            assert!(!admits(&Pin::kept_as(Some(kept)), "https://auth.example/"), "{kept}");
        }
    }
}
