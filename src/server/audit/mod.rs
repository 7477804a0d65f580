//! Who did what to which resource.
//!
//! Rule: the record is written in the transaction of the action, so neither exists without the other. Particulars are
//! typed: nothing that a request says in free text gets in, and no secret can.

pub mod particulars;

pub use particulars::Particulars;

use std::fmt;

use crate::protocol::Timestamp;
use crate::protocol::id::AgentId;
use crate::server::store::{self, StoreError, WriteTransaction};

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// The holder of a user token, by the token's name.
    User(String),
    /// An agent.
    Agent(AgentId),
    /// The server itself.
    Server,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Agent(id) => write!(f, "agent:{id}"),
            Self::Server => f.write_str("server"),
        }
    }
}

/// Writes the record of an action, and its line in the log once it is committed; it is committed with it. The action's word comes from the particulars.
///
/// # Errors
/// When it cannot be written; then the action must not be committed either.
pub async fn record(
    transaction: &mut WriteTransaction,
    at: Timestamp,
    actor: &Actor,
    resource: &(impl fmt::Display + Sync),
    particulars: &Particulars,
) -> Result<(), StoreError> {
    // What happens to runs has lines of its own, with more to say.
    if !matches!(particulars.action().split_once(':'), Some(("run", _))) {
        let (action, by, resource) = (particulars.action(), actor.to_string(), resource.to_string());
        let particulars = particulars.to_json();
        transaction.after_commit(move || tracing::info!(by, resource, particulars, "{action}"));
    }
    let record = store::audit::NewRecord {
        at,
        actor: actor.to_string(),
        action: particulars.action(),
        resource: resource.to_string(),
        particulars: particulars.to_json(),
    };
    store::audit::append(transaction, &record).await
}
