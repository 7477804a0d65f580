//! One server per SQLite database.
//!
//! Rule: two processes could share the file, but not what is in memory: who waits, who was heard of. The second one
//! does not start. The lock goes with the process, however it ends: not that of flock(2), which a child has too until it
//! executes its program.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
use rustix::io::Errno;

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
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Alone { _locked: file }),
        Err(Errno::ACCESS | Errno::WOULDBLOCK) => Err(ServerError::NotAlone(state_directory.to_owned())),
        Err(errno) => Err(failed(io::Error::from(errno))),
    }
}
