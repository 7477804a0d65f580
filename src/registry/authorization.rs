//! How a request is authorised: Basic (RFC 7617) or Bearer (RFC 6750).
//!
//! Rule: the only file of the registry client that exposes a secret, and only as a header value marked sensitive.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The value of an `Authorization` header; shown by nothing, and wiped from memory when dropped.
#[derive(Debug)]
pub struct Authorization(Secret);

impl Clone for Authorization {
    fn clone(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl Authorization {
    /// User and secret, in UTF-8. `None` for a user with a colon or with control characters, which Basic cannot carry.
    pub fn basic(username: &str, secret: &Secret) -> Option<Self> {
        if username.contains(':') || username.chars().chain(secret.expose().chars()).any(char::is_control) {
            return None;
        }
        let pair = Zeroizing::new(format!("{username}:{}", secret.expose()));
        let encoded = Zeroizing::new(STANDARD.encode(pair.as_bytes()));
        Self::of("Basic", &encoded)
    }

    /// A token of a token service. `None` when no header can carry it.
    pub fn bearer(token: &Secret) -> Option<Self> {
        let text = token.expose();
        let carried = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
        carried.then(|| Self::of("Bearer", text)).flatten()
    }

    /// One that somebody else made, as it was sent. `None` when it is no text.
    pub fn as_sent(value: &HeaderValue) -> Option<Self> {
        value.to_str().ok().map(|text| Self(text.into()))
    }

    /// What follows the scheme: of Bearer, the token.
    pub(super) fn parameter(&self) -> Secret {
        self.0.expose().split_once(' ').map_or("", |(_, parameter)| parameter).into()
    }

    fn of(scheme: &str, text: &str) -> Option<Self> {
        let line = Secret::new(format!("{scheme} {text}"));
        HeaderValue::from_str(line.expose()).is_ok().then_some(Self(line))
    }

    pub(super) fn header(&self) -> HeaderValue {
        // It was tried when this was made.
        let mut value = HeaderValue::from_str(self.0.expose()).unwrap_or(HeaderValue::from_static(""));
        value.set_sensitive(true);
        value
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::Authorization;
    use crate::secret::Secret;

    #[test]
    fn odd_passwords_are_encoded_as_they_are() {
        let basic = Authorization::basic("Aladdin", &Secret::from("pä:ss${x}\"\\%41")).unwrap();
        assert_eq!(basic.header(), "Basic QWxhZGRpbjpww6Q6c3Mke3h9IlwlNDE=");
        assert!(!format!("{basic:?}").contains("QWxh"));
    }

    #[test]
    fn what_somebody_else_made_stays_as_it_is() {
        for text in ["Basic  YTpi ", "Bearer x", "Digest username=\"a\", uri=\"/\"", "x"] {
            let sent = Authorization::as_sent(&HeaderValue::from_static(text)).unwrap();
            assert_eq!(sent.header(), text);
        }
        assert!(Authorization::as_sent(&HeaderValue::from_bytes(b"Basic \xff").unwrap()).is_none());
        assert_eq!(Authorization::bearer(&Secret::from("a.b")).unwrap().parameter().expose(), "a.b");
    }

    #[test]
    fn what_basic_cannot_carry_is_refused() {
        for (user, secret) in [("a:b", "x"), ("a", "x\ny"), ("a\0", "x"), ("a\r", "x")] {
            assert!(Authorization::basic(user, &Secret::from(secret)).is_none(), "{user:?} {secret:?}");
        }
        for token in ["", "a b", "a\r\nX: y", "ä"] {
            assert!(Authorization::bearer(&Secret::from(token)).is_none(), "{token:?}");
        }
    }
}
