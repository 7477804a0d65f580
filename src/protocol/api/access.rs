//! Tokens, agents, audit records.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::id::{AgentId, PoolId, RunId, TokenId};
use crate::secret::{Secret, serialize_exposed};

/// Kinds of tokens; the kind is the second word of a token's text, `ngr_<kind>_<id>_<secret><checksum>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// A person or program that uses the API.
    User,
    /// Lets agents join a pool.
    Join,
    /// An agent's own identity.
    Agent,
    /// What an agent uses between two sessions; short-lived.
    Session,
}

impl TokenKind {
    /// Every kind.
    pub const ALL: &'static [Self] = &[Self::User, Self::Join, Self::Agent, Self::Session];

    /// The word in the token's text.
    pub const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Join => "join",
            Self::Agent => "agent",
            Self::Session => "session",
        }
    }
}

/// Makes a user token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// For people.
    pub name: String,
    /// Seconds until it expires; absent: 90 days.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// The only role until others come: `admin`.
    #[serde(default = "admin")]
    pub role: String,
}

fn admin() -> String {
    "admin".to_owned()
}

/// Makes a join token.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJoinToken {
    /// For people.
    pub name: String,
    /// Name of the pool that agents join with it; absent: `default`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// Seconds until it expires; absent: one hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    /// How many agents may join with it; absent: one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
}

/// A token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Its id, also part of its text.
    pub id: TokenId,
    /// Its kind.
    pub kind: TokenKind,
    /// For people.
    pub name: String,
    /// Its role (user tokens).
    pub role: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it ceases to work; absent: never (the first start's own tokens).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<Timestamp>,
    /// Join tokens: how many agents may still join with it; absent: any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uses_left: Option<i64>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// A new token; the only time that its text is shown.
#[derive(Debug, Serialize, Deserialize)]
pub struct CreatedToken {
    /// What is known of it.
    #[serde(flatten)]
    pub token: Token,
    /// Its text.
    #[serde(serialize_with = "serialize_exposed")]
    pub text: Secret,
}

/// Who is asking.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Whoami {
    /// The token's name.
    pub name: String,
    /// Its kind.
    pub kind: TokenKind,
    /// Its id.
    pub token: TokenId,
    /// Its role.
    pub role: String,
    /// When it expires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// The server's version.
    pub server_version: String,
}

/// An agent pool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AgentPool {
    /// Its id.
    pub id: PoolId,
    /// Its name.
    pub name: String,
}

/// An agent.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Agent {
    /// Its id.
    pub id: AgentId,
    /// Its name.
    pub name: String,
    /// Its pool's name.
    pub pool: String,
    /// How it is.
    pub status: AgentStatus,
    /// Whether a person wants it to take nothing new, also while it is offline.
    #[serde(default)]
    pub draining: bool,
    /// Its program's version.
    pub version: String,
    /// The tofu that it found.
    pub tofu_version: String,
    /// Runs that it takes at the same time.
    pub concurrency: u32,
    /// When it joined.
    pub joined_at: Timestamp,
    /// When it was last heard of.
    pub last_seen_at: Timestamp,
    /// What it runs.
    pub runs: Vec<RunId>,
}

/// How an agent is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Heard of lately.
    Online,
    /// Not heard of for longer than a lease.
    Offline,
    /// Takes nothing new.
    Draining,
}

/// Who did what to which resource.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditRecord {
    /// Grows.
    pub sequence: i64,
    /// When.
    pub at: Timestamp,
    /// Who: `user:<name>`, `agent:<id>`, `server`.
    pub actor: String,
    /// What: `<resource>:<action>`.
    pub action: String,
    /// To which: its id.
    pub resource: String,
    /// Particulars, typed by action; never free text from a request.
    pub particulars: serde_json::Value,
}
