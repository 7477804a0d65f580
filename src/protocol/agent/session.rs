//! Joining and opening a session.
//!
//! Rule: a join token buys an identity, the identity buys a session, and only the session token is taken elsewhere.

use serde::{Deserialize, Serialize};

use crate::protocol::id::{AgentId, PoolId, RequestId};
use crate::secret::{Secret, serialize_exposed, serialize_exposed_option};

/// An agent introduces itself. Its bearer token is a join token (first time) or its identity token (later).
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// Oldest protocol that the agent speaks.
    pub protocol_min: u32,
    /// Newest protocol that the agent speaks.
    pub protocol_max: u32,
    /// The agent's name, for people: by default the host's.
    pub name: String,
    /// Version of the agent's program.
    pub version: String,
    /// Runs that it takes at the same time.
    pub concurrency: u32,
    /// Version of OpenTofu that it found.
    pub tofu_version: String,
    /// Absolute directory below which its run directories are: `<run_root>/<run id>`; equal within a pool.
    pub run_root: String,
    /// Which process asks: made at its start, the same in all its sessions. A session of another process supersedes this
    /// one's, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<RequestId>,
}

/// The session.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionAnswer {
    /// The protocol to speak from now on.
    pub protocol: u32,
    /// Who the agent is.
    pub agent: AgentId,
    /// The pool that it belongs to.
    pub pool: PoolId,
    /// The pool's name.
    pub pool_name: String,
    /// Only in answer to a join token: the agent's own identity, to be kept 0600 and shown at the next session.
    #[serde(default, serialize_with = "serialize_exposed_option", skip_serializing_if = "Option::is_none")]
    pub identity: Option<Secret>,
    /// The session token, for every other agent route. A new session ends the agent's earlier ones.
    #[serde(serialize_with = "serialize_exposed")]
    pub session: Secret,
    /// How long the session token is good for; open a new session before.
    pub session_seconds: u64,
    /// How long a lease lasts from the moment when the granting request was sent.
    pub lease_seconds: u64,
    /// How long the server holds a long poll at most.
    pub hold_seconds: u64,
}
