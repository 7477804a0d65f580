//! The ways in which a credential comes to tofu, as an operator, a workspace and a request name them.
//!
//! Rule: of two wishes the one that leaves less open wins, so that neither a host's operator nor whoever keeps a
//! workspace can be talked down by the other.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How credentials come to tofu in the fetch step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeliveryChoice {
    /// `broker`; `helper` for registries on loopback, which no proxy can serve.
    #[default]
    Auto,
    /// A proxy that adds the credential on the wire: the run sees none.
    Broker,
    /// A program that tofu asks: out of reach of the configuration's expressions.
    Helper,
    /// A Docker configuration file, readable by the configuration's author during the fetch step. Each integration
    /// has to permit it.
    File,
}

/// A word that names no delivery.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no delivery; hint: `auto`, `broker`, `helper` or `file`")]
pub struct UnknownDelivery(String);

impl DeliveryChoice {
    /// The word for it on the wire, in the database, in settings and in commands.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Broker => "broker",
            Self::Helper => "helper",
            Self::File => "file",
        }
    }

    /// Whether it leads to the broker, for registries that a proxy can serve.
    pub const fn may_be_broker(self) -> bool {
        matches!(self, Self::Auto | Self::Broker)
    }

    /// What becomes of two wishes: `auto` has none, and of two others the one that leaves less open is taken.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Auto, wish) | (wish, Self::Auto) => wish,
            (Self::Broker, _) | (_, Self::Broker) => Self::Broker,
            (Self::Helper, _) | (_, Self::Helper) => Self::Helper,
            (Self::File, Self::File) => Self::File,
        }
    }
}

impl fmt::Display for DeliveryChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for DeliveryChoice {
    type Err = UnknownDelivery;

    fn from_str(text: &str) -> Result<Self, UnknownDelivery> {
        [Self::Auto, Self::Broker, Self::Helper, Self::File]
            .into_iter()
            .find(|choice| choice.word() == text)
            .ok_or_else(|| UnknownDelivery(text.chars().filter(|c| !c.is_control()).take(40).collect()))
    }
}

impl Serialize for DeliveryChoice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl<'de> Deserialize<'de> for DeliveryChoice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::DeliveryChoice::{Auto, Broker, File, Helper};

    #[test]
    fn of_two_wishes_the_stricter_wins_whoever_has_it() {
        for (one, other, wish) in [
            (Auto, Auto, Auto),
            (Auto, File, File),
            (Helper, Auto, Helper),
            (File, Helper, Helper),
            (File, Broker, Broker),
            (Broker, Helper, Broker),
            (File, File, File),
        ] {
            assert_eq!((one.and(other), other.and(one)), (wish, wish), "{one} {other}");
        }
    }

    #[test]
    fn other_words_are_refused_with_what_there_is() {
        for text in ["", "FILE", "files", "a\u{1b}[31m"] {
            let message = text.parse::<super::DeliveryChoice>().unwrap_err().to_string();
            assert!(message.contains("`helper`") && !message.contains('\u{1b}'), "{message}");
        }
    }
}
