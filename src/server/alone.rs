//! One server per SQLite database.
//!
//! Rule: two processes could share the file, but not what is in memory: who waits, who was heard of. The second one
//! does not start. The lock goes with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::ServerError;

/// Held for as long as the server lives.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

/// Locks the state directory, unless another server has.
pub(super) fn lock(state_directory: &Path) -> Result<Alone, ServerError> {
    let failed = |source| ServerError::StateDirectory { path: state_directory.to_owned(), source };
    let path = state_directory.join("server.lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Alone { _locked: file }),
        Err(error) if error == rustix::io::Errno::WOULDBLOCK => Err(ServerError::NotAlone(state_directory.to_owned())),
        Err(error) => Err(failed(io::Error::from(error))),
    }
}
