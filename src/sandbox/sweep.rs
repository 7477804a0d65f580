//! Wipes what an earlier agent and its launchers left in the secret root.
//!
//! Rule: a secret directory is locked by its launcher as long as it lives. The sweep takes only what it can lock, and
//! after locking looks whether the name still stands for what was locked; the launcher does the same when it makes one.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, flock, fstat, statat, unlinkat};
use rustix::io::Errno;

use super::SecretRoot;
use super::secret_root::open_root;
use super::wipe::{entries, open_directory, wipe};

/// What a sweep found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Sweep {
    /// Wiped and verified.
    pub swept: Vec<PathBuf>,
    /// Left alone: a living launcher holds it and will wipe it.
    pub in_use: Vec<PathBuf>,
}

/// Why a sweep is not complete. Secrets may remain: the agent ends with exit code 74.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The secret root cannot be looked through.
    #[error("cannot sweep the secret root {}: {detail}; hint: remove what is in it by hand", .root.display())]
    Root {
        /// Its path.
        root: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// Something in it could not be wiped; everything else was.
    #[error("secret directory {} may still hold secrets: {detail}; hint: remove it by hand", .directory.display())]
    Unverified {
        /// The first one.
        directory: PathBuf,
        /// What is wrong.
        detail: String,
    },
}

enum Found {
    Swept,
    InUse,
    Gone,
}

/// Wipes every secret directory that no living launcher holds. Blocks for as long as removing takes.
pub fn sweep(root: &SecretRoot) -> Result<Sweep, SweepError> {
    let failed = |detail: String| SweepError::Root { root: root.path().to_owned(), detail };
    // Whatever is there is wiped, also on a disk: what was allowed when it was made does not matter any more.
    let directory = open_root(root.path(), true).map_err(|problem| failed(problem.to_string()))?;
    let mut sweep = Sweep::default();
    let mut unverified = None;
    for name in entries(directory.as_fd()).map_err(|error| failed(error.to_string()))? {
        let path = root.path().join(Path::new(&*name.to_string_lossy()));
        match sweep_one(directory.as_fd(), &name) {
            Ok(Found::Swept) => sweep.swept.push(path),
            Ok(Found::InUse) => sweep.in_use.push(path),
            Ok(Found::Gone) => {}
            Err(detail) => unverified = unverified.or(Some(SweepError::Unverified { directory: path, detail })),
        }
    }
    unverified.map_or(Ok(sweep), Err)
}

fn sweep_one(root: std::os::fd::BorrowedFd<'_>, name: &CStr) -> Result<Found, String> {
    let directory = match open_directory(root, name) {
        Ok(directory) => directory,
        Err(Errno::NOENT) => return Ok(Found::Gone),
        // Only we write here, so a file or a link is a remainder too; it is removed, not followed.
        Err(Errno::LOOP | Errno::NOTDIR) => {
            return unlinkat(root, name, AtFlags::empty()).map(|()| Found::Swept).map_err(|errno| errno.to_string());
        }
        Err(errno) => return Err(errno.to_string()),
    };
    match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Found::InUse),
        Err(errno) => return Err(errno.to_string()),
    }
    if !is_named(root, name, &directory) {
        return Ok(Found::Gone);
    }
    let text = name.to_str().map_err(|error| error.to_string())?;
    wipe(root, text, Some(directory.as_fd())).map(|()| Found::Swept).map_err(|error| error.to_string())
}

/// Whether `name` in `parent` still stands for the opened `directory`.
pub(super) fn is_named(parent: std::os::fd::BorrowedFd<'_>, name: &CStr, directory: &std::os::fd::OwnedFd) -> bool {
    match (fstat(directory), statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)) {
        (Ok(opened), Ok(named)) => (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino),
        _ => false,
    }
}
