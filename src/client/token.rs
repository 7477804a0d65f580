//! Where a client's bearer token comes from.
//!
//! Rule: the only file of the client that exposes a token, and only as a header value that is marked sensitive.

use std::sync::{Arc, PoisonError, RwLock};

use reqwest::header::HeaderValue;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// The token that a client shows; clones share it, so that a new session's token is taken by all of them.
#[derive(Debug, Clone, Default)]
pub struct TokenSource(Arc<RwLock<Option<Secret>>>);

impl TokenSource {
    /// No token: for routes that want none, and until [`TokenSource::replace`].
    pub fn none() -> Self {
        Self::default()
    }

    /// This token.
    pub fn fixed(token: Secret) -> Self {
        Self(Arc::new(RwLock::new(Some(token))))
    }

    /// From now on this token.
    pub fn replace(&self, token: Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }

    /// The header, if there is a token; an error for one that no header can carry.
    pub(super) fn header(&self) -> Result<Option<HeaderValue>, UnusableToken> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(bearer).transpose()
    }
}

/// A token with characters that no token of ours has.
#[derive(Debug)]
pub(super) struct UnusableToken;

/// `Bearer <token>`, marked sensitive.
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, UnusableToken> {
    let text = token.expose();
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(UnusableToken);
    }
    let text = Zeroizing::new(format!("Bearer {text}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| UnusableToken)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::{TokenSource, bearer};
    use crate::secret::Secret;

    #[test]
    fn a_token_is_shown_by_nothing() {
        let source = TokenSource::fixed(Secret::from("ngr_user_x_geheim"));
        let header = source.header().unwrap().unwrap();
        assert_eq!(header, "Bearer ngr_user_x_geheim");
        assert!(header.is_sensitive());
        assert!(!format!("{source:?}{header:?}").contains("geheim"));
    }

    #[test]
    fn clones_take_a_new_token() {
        let source = TokenSource::none();
        let clone = source.clone();
        assert!(clone.header().unwrap().is_none());
        source.replace(Secret::from("a"));
        assert_eq!(clone.header().unwrap().unwrap(), "Bearer a");
    }

    #[test]
    fn a_token_that_no_header_can_carry_is_refused() {
        for text in ["", "a b", "a\nb", "a\0", "ä"] {
            assert!(bearer(&Secret::from(text)).is_err(), "{text:?}");
        }
    }
}
