//! Makes the secret directory, holds it, wipes it.
//!
//! Rule: the directory is locked from its first moment until the launcher is gone. In the sandbox `namespace` there is
//! none on the host: init makes it in the sandbox, and the launcher holds it open from outside to empty it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, flock, ftruncate, mkdirat};
use rustix::io::Errno;

use crate::sandbox::protocol::{Refusal, SecretDirectory, SecretFile, is_below};
use crate::sandbox::secret_file::{create, fill};
use crate::sandbox::secret_root::{RootProblem, open_root};
use crate::sandbox::sweep::is_named;
use crate::sandbox::wipe::{open_directory, wipe, wipe_content};

/// How often and after what pause it is made again when a sweep took it in its first moment.
const TRIES: u32 = 50;
const PAUSE: Duration = Duration::from_millis(10);

/// A secret directory that exists. Not wiped by drop: a wipe has something to say.
pub(super) struct MadeDirectory {
    root: OwnedFd,
    name: String,
    /// Locked.
    directory: OwnedFd,
    /// Every file that was written, to be emptied wherever it is then.
    files: Vec<OwnedFd>,
}

/// The secret files of a step, wherever they are.
pub(super) enum Secrets {
    OnHost(MadeDirectory),
    /// The directory that only the sandbox has, opened for changes.
    Inside(OwnedFd),
}

impl Secrets {
    /// Wipes and verifies. The error says what remains.
    pub(super) fn wipe(self) -> Result<(), String> {
        match self {
            Self::OnHost(made) => made.wipe(),
            Self::Inside(directory) => wipe_content(directory.as_fd()).map_err(|error| error.to_string()),
        }
    }
}

/// Why there is none, and what became of what had been made.
pub(super) struct MakeFailure {
    pub(super) refusal: Refusal,
    pub(super) wiped: Option<Result<(), String>>,
}

impl MadeDirectory {
    /// Makes it with all of its files.
    pub(super) fn make(wanted: SecretDirectory) -> Result<Self, MakeFailure> {
        let path = wanted.path();
        let mut made = Self::make_empty(&wanted).map_err(|refusal| MakeFailure { refusal, wiped: None })?;
        failpoint!("launcher.secrets.made");
        for file in wanted.files {
            if let Err(error) = made.write(&file) {
                let refusal = match Errno::from_io_error(&error) {
                    Some(Errno::NOSPC | Errno::DQUOT) => Refusal::NoSpace { root: wanted.root },
                    _ => Refusal::SecretDirectory { path: path.join(&file.path), detail: error.to_string() },
                };
                return Err(MakeFailure { refusal, wiped: Some(made.wipe()) });
            }
        }
        failpoint!("launcher.secrets.complete");
        Ok(made)
    }

    fn make_empty(wanted: &SecretDirectory) -> Result<Self, Refusal> {
        let refused = |detail: String| Refusal::SecretDirectory { path: wanted.path(), detail };
        if !is_below(Path::new(&wanted.name)) || wanted.name.contains('/') {
            return Err(refused("its name is not one plain component".to_owned()));
        }
        let name = CString::new(wanted.name.as_str()).map_err(|error| refused(error.to_string()))?;
        let root = open_root(&wanted.root, wanted.allow_disk).map_err(|problem| match problem {
            RootProblem::OnDisk { file_system } => Refusal::SecretRootOnDisk { root: wanted.root.clone(), file_system },
            problem => Refusal::SecretRoot { root: wanted.root.clone(), detail: problem.to_string() },
        })?;
        let directory = match make_locked(root.as_fd(), &name) {
            Ok(directory) => directory,
            Err(Errno::NOSPC | Errno::DQUOT) => return Err(Refusal::NoSpace { root: wanted.root.clone() }),
            Err(errno) => return Err(refused(errno.to_string())),
        };
        Ok(Self { root, name: wanted.name.clone(), directory, files: Vec::new() })
    }

    fn write(&mut self, file: &SecretFile) -> io::Result<()> {
        let mut written = create(self.directory.as_fd(), &file.path)?;
        // Kept before it has content, so that a failed write is emptied too.
        self.files.push(written.try_clone()?.into());
        failpoint!("launcher.secrets.created");
        fill(&mut written, file)?;
        failpoint!("launcher.secrets.filled");
        Ok(())
    }

    /// Wipes and verifies. The error says what remains.
    pub(super) fn wipe(self) -> Result<(), String> {
        let emptied = self.files.iter().try_for_each(|file| ftruncate(file, 0));
        failpoint!("launcher.secrets.emptied");
        wipe(self.root.as_fd(), &self.name, Some(self.directory.as_fd())).map_err(|error| error.to_string())?;
        emptied.map_err(|errno| format!("a file cannot be emptied: {errno}"))
    }
}

/// Makes a directory and locks it, again if a sweep took it between the two.
fn make_locked(root: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    mkdirat(root, name, Mode::RWXU)?;
    failpoint!("launcher.secrets.unlocked");
    for _ in 0..TRIES {
        match open_directory(root, name) {
            Ok(directory) => match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_named(root, name, &directory) => return Ok(directory),
                Ok(()) => {}
                // The sweep holds it and is about to remove it.
                Err(Errno::WOULDBLOCK) => std::thread::sleep(PAUSE),
                Err(errno) => return Err(errno),
            },
            Err(Errno::NOENT) => match mkdirat(root, name, Mode::RWXU) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(errno),
            },
            Err(errno) => return Err(errno),
        }
    }
    Err(Errno::WOULDBLOCK)
}
