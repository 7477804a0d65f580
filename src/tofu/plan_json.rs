//! The summary of a plan, from `tofu show -json`.
//!
//! Rule: only actions are kept, never a value: the document holds sensitive values in clear.

use std::io::Read;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why there is no summary.
#[derive(Debug, Error)]
pub enum PlanJsonError {
    /// Not the document that `show -json` writes. The source never quotes values.
    #[error("the plan's JSON could not be read")]
    Read(#[source] serde_json::Error),
}

/// How many resources a plan touches. A replacement counts as one to add and one to destroy, as tofu counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// To be created.
    pub add: u64,
    /// To be changed in place.
    pub change: u64,
    /// To be destroyed.
    pub destroy: u64,
    /// To be taken into the state without being made.
    pub import: u64,
    /// To be taken out of the state without being destroyed.
    pub forget: u64,
    /// Outputs whose value changes.
    pub outputs: u64,
}

impl PlanSummary {
    /// Whether applying the plan would do anything.
    pub fn has_changes(&self) -> bool {
        *self != Self::default()
    }
}

/// Reads what `tofu show -json PLAN` writes, as it comes, keeping only the counts.
pub fn summarize(json: impl Read) -> Result<PlanSummary, PlanJsonError> {
    let _ = json;
    todo!()
}
