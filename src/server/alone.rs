//! One server per SQLite database.
//!
//! Rule: two processes could share the file, but not what is in memory: who waits, who was heard of. The second one
//! does not start. The lock goes with the process, however it ends.

use std::fs::File;
use std::path::Path;

use super::ServerError;
use crate::lifecycle;

/// Held for as long as the server lives.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

/// Locks the state directory, unless another server has. Blocks.
pub(super) fn lock(state_directory: &Path) -> Result<Alone, ServerError> {
    match lifecycle::lock_alone(&state_directory.join("server.lock")) {
        Ok(Some(locked)) => Ok(Alone { _locked: locked }),
        Ok(None) => Err(ServerError::NotAlone(state_directory.to_owned())),
        Err(source) => Err(ServerError::StateDirectory { path: state_directory.to_owned(), source }),
    }
}
