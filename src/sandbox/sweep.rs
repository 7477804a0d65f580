//! Wipes what an earlier agent and its launchers left in the secret roots.
//!
//! Rule: every root that may ever have been used is looked at, not only the one that would be used now. A secret directory is locked by its launcher as long as it lives. The sweep takes only what it can lock, and
//! after locking looks whether the name still stands for what was locked; the launcher does the same when it makes one.

use std::ffi::CStr;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FlockOperation, flock, fstat, statat, unlinkat};
use rustix::io::Errno;

use super::secret_root::{RootProblem, is_named_after_us, open_root};
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
    /// It is another user's, who may have left secrets in it.
    #[error(
        "the secret root {} belongs to the user {owner}, and this is the user {}; hint: run `nigari agent sweep` as that \
         user, then remove the directory",
        .root.display(),
        rustix::process::geteuid().as_raw()
    )]
    OtherUser {
        /// Its path.
        root: PathBuf,
        /// The number of its owner.
        owner: u32,
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

/// Wipes every secret directory in these roots that no living launcher holds, also when one of them cannot be swept: the
/// first such failure is told at the end. Blocks for as long as removing takes.
pub fn sweep_all<'r>(roots: impl IntoIterator<Item = &'r PathBuf>) -> Result<Sweep, SweepError> {
    let mut all = Sweep::default();
    let mut failure = None;
    for root in roots {
        match sweep(root) {
            Ok(Sweep { swept, in_use }) => {
                all.swept.extend(swept);
                all.in_use.extend(in_use);
            }
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(all), Err)
}

/// The same for one root. One that is not there has nothing to sweep.
pub fn sweep(root: &Path) -> Result<Sweep, SweepError> {
    let failed = |detail: String| SweepError::Root { root: root.to_owned(), detail };
    let mut sweep = Sweep::default();
    // Whatever is there is wiped, also on a disk: what was allowed when it was made does not matter any more.
    let directory = match open_root(root, true) {
        Ok(directory) => directory,
        Err(RootProblem::Open(error)) if is_absence(&error) => return Ok(sweep),
        // Somebody else was quicker to make a directory of our name: it was never used.
        Err(RootProblem::Owner { .. }) if is_named_after_us(root) => return Ok(sweep),
        Err(RootProblem::Owner { owner }) => return Err(SweepError::OtherUser { root: root.to_owned(), owner }),
        Err(problem) => return Err(failed(problem.to_string())),
    };
    let mut unverified = None;
    for name in entries(directory.as_fd()).map_err(|error| failed(error.to_string()))? {
        let path = root.join(Path::new(&*name.to_string_lossy()));
        match sweep_one(directory.as_fd(), &name) {
            Ok(Found::Swept) => sweep.swept.push(path),
            Ok(Found::InUse) => sweep.in_use.push(path),
            Ok(Found::Gone) => {}
            Err(detail) => unverified = unverified.or(Some(SweepError::Unverified { directory: path, detail })),
        }
    }
    unverified.map_or(Ok(sweep), Err)
}

/// What a sweep of these roots would have to wipe: what nobody holds, and every root that it could not look through.
/// Changes nothing.
pub fn left_behind<'r>(roots: impl IntoIterator<Item = &'r PathBuf>) -> Vec<PathBuf> {
    let mut left = Vec::new();
    for root in roots {
        let directory = match open_root(root, true) {
            Ok(directory) => directory,
            Err(RootProblem::Open(error)) if is_absence(&error) => continue,
            Err(RootProblem::Owner { .. }) if is_named_after_us(root) => continue,
            Err(_) => {
                left.push(root.clone());
                continue;
            }
        };
        let Ok(names) = entries(directory.as_fd()) else {
            left.push(root.clone());
            continue;
        };
        let held = |name: &CStr| match open_directory(directory.as_fd(), name) {
            // Held for as long as it takes to see that nobody else does; who makes one just now tries again.
            Ok(one) => matches!(flock(&one, FlockOperation::NonBlockingLockExclusive), Err(Errno::WOULDBLOCK)),
            Err(errno) => errno == Errno::NOENT,
        };
        let unheld = names.iter().filter(|name| !held(name));
        left.extend(unheld.map(|name| root.join(Path::new(&*name.to_string_lossy()))));
    }
    left
}

fn is_absence(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory)
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
