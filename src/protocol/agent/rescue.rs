//! A state that tofu could not write and that is on the agent's host now.

use serde::{Deserialize, Serialize};

/// Where the agent keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptState {
    /// Absolute path on the agent's host.
    pub path: String,
}
