//! State: versions and the lock.

use serde::{Deserialize, Serialize};

use crate::protocol::Timestamp;
use crate::protocol::id::{RunId, StateVersionId};

/// A lock of a workspace's state: tofu's own JSON (field names as OpenTofu 1.12.6 sends and expects them back with
/// 423), and what tofu adds later.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct StateLock {
    /// Made by the holder.
    #[serde(rename = "ID")]
    pub id: String,
    /// `OperationTypePlan`, `OperationTypeApply`, …
    #[serde(default)]
    pub operation: String,
    /// Free text.
    #[serde(default)]
    pub info: String,
    /// `user@host`, or for a run its id.
    #[serde(default)]
    pub who: String,
    /// tofu's version.
    #[serde(default)]
    pub version: String,
    /// RFC 3339.
    #[serde(default)]
    pub created: String,
    /// The state's path, where it has one.
    #[serde(default)]
    pub path: String,
}

/// One version of a workspace's state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateVersion {
    /// Its id.
    pub id: StateVersionId,
    /// tofu's serial.
    pub serial: i64,
    /// tofu's lineage.
    pub lineage: String,
    /// Bytes.
    pub bytes: u64,
    /// Lower-case hexadecimal SHA-256.
    pub digest: String,
    /// When it was written.
    pub created_at: Timestamp,
    /// By which run, if by one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// By whom, if by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
}
