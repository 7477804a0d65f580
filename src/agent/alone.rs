//! One agent per state directory.
//!
//! Rule: a second process with the same identity would end the first one's session, and with it a healthy agent; so the
//! second one does not start. The lock goes with the process, however it ends: not that of flock(2), which a child has too
//! until it executes its program.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::{FlockOperation, fcntl_lock};
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
    match fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Alone { _locked: file }),
        Err(Errno::ACCESS | Errno::WOULDBLOCK) => Err(AgentError::NotAlone(state_directory.to_owned())),
        Err(errno) => Err(failed(io::Error::from(errno))),
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use rustix::fs::{FlockOperation, flock};
    use rustix::process::Signal;

    use super::lock;
    use crate::process::{CommandLine, spawn};

    #[test]
    fn what_a_child_has_of_a_file_is_no_lock() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("agent.lock");
        let mut line = CommandLine::new("/usr/bin/flock");
        line.arguments = vec!["--no-fork".into(), path.clone().into(), "/bin/sleep".into(), "600".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        let is_held = || {
            let file = File::open(&path);
            file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
        };
        while !is_held() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(lock(state.path()).is_ok());
        child.signal(Signal::KILL).unwrap();
        child.wait().unwrap();
    }
}
