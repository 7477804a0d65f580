//! Typed identifiers: `<prefix>-<32 hexadecimal digits>`, a UUID v7 behind a word that says what it names.
//!
//! Rule: an id is never a `String`. The text form is safe as a file name and in a URL.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// A text that is not an id of the expected kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is not the id of a {kind}; hint: it looks like `{prefix}-0199…` with 32 hexadecimal digits")]
pub struct InvalidId {
    text: String,
    kind: &'static str,
    prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident $prefix:literal $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Uuid);

        impl $name {
            /// A fresh id; later ones of this process sort behind earlier ones.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "-{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                text.strip_prefix(concat!($prefix, "-"))
                    .filter(|digits| digits.len() == 32 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
                    .and_then(|digits| Uuid::try_parse(digits).ok())
                    .map(Self)
                    .ok_or_else(|| InvalidId { text: text.chars().take(80).collect(), kind: $kind, prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}

ids! {
    /// A registry integration.
    IntegrationId "reg" "registry integration";
    /// A workspace.
    WorkspaceId "ws" "workspace";
    /// A variable of a workspace.
    VariableId "var" "variable";
    /// An uploaded configuration.
    ConfigurationId "cfg" "configuration";
    /// A run; also the name of its directory on a host.
    RunId "run" "run";
    /// A version of a workspace's state.
    StateVersionId "sv" "state version";
    /// An agent.
    AgentId "agent" "agent";
    /// An agent pool.
    PoolId "pool" "agent pool";
    /// A token of any kind.
    TokenId "tok" "token";
    /// A stored blob.
    BlobId "blob" "blob";
    /// What an agent makes up to claim with; a repeated claim with the same id gets the same answer.
    ClaimId "claim" "claim";
    /// What an agent makes up for a request that may be repeated: the repeat gets the same answer.
    RequestId "req" "request";
}

#[cfg(test)]
mod tests {
    use super::{RunId, WorkspaceId};

    #[test]
    fn an_id_survives_its_text() {
        let id = RunId::generate();
        assert_eq!(id.to_string().parse::<RunId>(), Ok(id));
    }

    #[test]
    fn an_id_of_another_kind_is_refused() {
        let text = RunId::generate().to_string();
        let message = text.parse::<WorkspaceId>().unwrap_err().to_string();
        assert!(message.contains("workspace"), "{message}");
    }

    #[test]
    fn a_path_is_not_an_id() {
        for text in ["run-../../etc/passwd", "run-", "", "run-0199ABCDEF0199ABCDEF0199ABCDEF01", "run-0199abcdef"] {
            assert!(text.parse::<RunId>().is_err(), "{text}");
        }
    }
}
