//! One agent per state directory.
//!
//! Rule: a second process with the same identity would end the first one's session, and with it a healthy agent; so the
//! second one does not start. The lock goes with the process, however it ends.

use std::fs::File;
use std::path::Path;

use super::AgentError;
use crate::lifecycle;

/// Held for as long as the agent lives.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

/// Locks the state directory, unless another agent has. Blocks.
pub(super) fn lock(state_directory: &Path) -> Result<Alone, AgentError> {
    match lifecycle::lock_alone(&state_directory.join("agent.lock")) {
        Ok(Some(locked)) => Ok(Alone { _locked: locked }),
        Ok(None) => Err(AgentError::NotAlone(state_directory.to_owned())),
        Err(source) => Err(AgentError::Directory { what: "state_dir", path: state_directory.to_owned(), source }),
    }
}
