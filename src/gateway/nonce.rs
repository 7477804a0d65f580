//! The password of a door: random, of one run, and worth nothing elsewhere.
//!
//! Rule: compared in constant time.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use axum::http::HeaderValue;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The user name that goes with it.
pub(super) const USER: &str = "run";
/// The user name of whoever wants nothing of the broker but to be passed through.
pub(super) const PASSING: &str = "passing";

/// 256 random bits.
#[derive(Debug)]
pub(super) struct Nonce(Secret);

impl Nonce {
    /// `None` when the kernel gives no random bytes.
    pub(super) fn new() -> Option<Self> {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        SystemRandom::new().fill(bytes.as_mut()).ok()?;
        Some(Self(Secret::new(hex::encode(bytes.as_ref()))))
    }

    /// For whoever may come in.
    pub(super) fn password(&self) -> Secret {
        self.0.duplicate()
    }

    pub(super) fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }

    /// Whether a header of authorisation has the usual user and the nonce, by Basic.
    pub(super) fn is_in(&self, header: Option<&HeaderValue>) -> bool {
        self.is_of(USER, header)
    }

    /// The same for that user.
    pub(super) fn is_of(&self, user: &str, header: Option<&HeaderValue>) -> bool {
        let given = header
            .and_then(|value| value.to_str().ok())
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("basic"))
            .and_then(|(_, encoded)| STANDARD.decode(encoded.trim()).ok());
        let expected = Zeroizing::new(format!("{user}:{}", self.0.expose()));
        given.is_some_and(|given| verify_slices_are_equal(&given, expected.as_bytes()).is_ok())
    }

    /// An address with that user and the nonce in it.
    pub(super) fn in_url(&self, user: &str, address: std::net::SocketAddr) -> Secret {
        Secret::new(format!("http://{user}:{}@{address}", self.0.expose()))
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::Nonce;

    #[test]
    fn only_user_and_nonce_together_are_let_in() {
        let nonce = Nonce::new().unwrap();
        let is_in = |text: String| nonce.is_in(Some(&HeaderValue::from_str(&text).unwrap()));
        let password = nonce.password();
        assert!(is_in(format!("Basic {}", STANDARD.encode(format!("run:{}", password.expose())))));
        assert!(is_in(format!("bAsIc  {}", STANDARD.encode(format!("run:{}", password.expose())))));
        assert!(!is_in(format!("Basic {}", STANDARD.encode(format!("passing:{}", password.expose())))));
        for text in ["", ":", "run", "run:", "run:0", &format!(":{}", password.expose()), password.expose()] {
            assert!(!is_in(format!("Basic {}", STANDARD.encode(text))), "{text}");
        }
        assert!(!is_in(format!("Bearer {}", password.expose())) && !is_in("Basic".into()) && !nonce.is_in(None));
    }
}
