//! The one type that holds secret text.
//!
//! Rule: secret text lives in a [`Secret`] and nowhere else. It can be read from the wire (it deserialises always),
//! but it leaves only through [`Secret::expose`] and [`serialize_exposed`]; `tests/it/layering.rs` lists the files
//! that may name either.

use std::fmt;

use serde::{Deserialize, Deserializer, Serializer};
use zeroize::{Zeroize, Zeroizing};

/// Secret text: wiped from memory when dropped, shown by neither `Debug` nor any message.
///
/// Not `Clone`, `PartialEq`, `Display` or `Serialize` on purpose: each of those is a way out.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes over `text`; the caller's string is moved, not copied.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself. Every call is a place to review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Length in bytes: for limits, which are not secret.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no text at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it contains a control character (line end, NUL, …): a line end nearly always came along by copying.
    pub fn contains_control(&self) -> bool {
        self.0.chars().any(char::is_control)
    }

    /// Whether it contains a NUL, which no environment variable can carry.
    pub fn contains_nul(&self) -> bool {
        self.0.contains('\0')
    }

    /// Another holder of the same text, for the few places that must hand one on and keep one.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self::new(self.expose().to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::new(text.to_owned())
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl Zeroize for Secret {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

/// For `#[serde(serialize_with = "…")]` on the few fields that must carry a secret over the wire.
pub fn serialize_exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// [`serialize_exposed`] for a field that may be absent.
pub fn serialize_exposed_option<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    match secret {
        Some(secret) => serializer.serialize_some(secret.expose()),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::from("hunter22")), "Secret(..)");
    }

    #[test]
    fn a_secret_comes_in_from_json() {
        let secret: Secret = serde_json::from_str("\"pä\\\"ss\"").unwrap();
        assert_eq!(secret.expose(), "pä\"ss");
    }
}
