//! One agent per state directory.
//!
//! Rule: a second process with the same identity would end the first one's session, and with it a healthy agent; so the
//! second one does not start. The lock goes with the process, however it ends.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::AgentError;

/// Held for as long as the agent lives.
#[derive(Debug)]
pub(super) struct Alone {
    _locked: File,
}

/// Locks the state directory, unless another agent has.
pub(super) fn lock(state_directory: &Path) -> Result<Alone, AgentError> {
    let failed = |source| AgentError::Directory { what: "state_dir", path: state_directory.to_owned(), source };
    let path = state_directory.join("agent.lock");
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path).map_err(failed)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Alone { _locked: file }),
        Err(Errno::WOULDBLOCK) => Err(AgentError::NotAlone(state_directory.to_owned())),
        Err(errno) => Err(failed(io::Error::from(errno))),
    }
}
