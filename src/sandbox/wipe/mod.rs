//! Removes a directory with everything in it and verifies that it is gone: secret directories, run directories, and
//! whatever a step has made in them.
//!
//! Rule: by descriptors, never by paths that somebody could turn elsewhere; a link is removed, never followed. Neither
//! depth nor modes stop it. What cannot be verified is an error. Secret files are emptied before they are unlinked, so
//! that a hard link made elsewhere holds nothing; overwriting is of no use on tmpfs, whose pages are freed.

mod empty;
mod open;
#[cfg(test)]
mod tests;

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, open as open_path, statat, unlinkat};
use rustix::io::Errno;

use self::empty::empty;
pub(super) use self::open::{entries, open_directory};

/// How often a directory is emptied again, if something writes into it meanwhile.
const PASSES: u32 = 50;

/// What becomes of files before they are unlinked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// Emptied: they may hold secrets, and a hard link elsewhere is to hold nothing.
    Emptied,
    /// Left as they are: a hard link may be somebody else's file, a cache for example.
    Unlinked,
}

/// Why a wipe is not verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum WipeError {
    #[error("cannot {action} {name}: {source}")]
    Remove { action: &'static str, name: String, source: io::Error },
    #[error("something else was in its place, so it was moved to where it cannot be found")]
    Replaced,
    #[error("new files appear in it as fast as they are removed")]
    Busy,
    #[error("it is still there after it was removed")]
    StillThere,
}

/// Removes the directory `path` with everything in it, and looks again; that it is not there is success. Blocks for as
/// long as that takes.
///
/// # Errors
/// What could not be removed, or that something else was in its place, which is removed as well.
pub fn remove_tree(path: &Path, files: Files) -> io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent().filter(|parent| parent.is_absolute()), path.file_name()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the path is not absolute"));
    };
    let parent = match open_path(parent, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()) {
        Err(Errno::NOENT) => return Ok(()),
        opened => opened?,
    };
    remove_all(parent.as_fd(), &CString::new(name.as_bytes())?, None, files).map_err(io::Error::other)
}

/// Removes everything in an opened directory, files emptied, and looks again. Blocks for as long as that takes. One that
/// was removed has nothing in it.
pub fn empty_directory(directory: impl AsFd) -> io::Result<()> {
    wipe_content(directory.as_fd()).map_err(io::Error::other)
}

/// Wipes `name` in `root`. `directory` is that directory opened before, if it was: then it is emptied wherever it is.
/// That there is nothing of this name is success, unless it had been opened and lives on elsewhere with content.
pub(super) fn wipe(root: BorrowedFd<'_>, name: &str, directory: Option<BorrowedFd<'_>>) -> Result<(), WipeError> {
    let name = CString::new(name).map_err(|error| failed("name", name, error.into()))?;
    remove_all(root, &name, directory, Files::Emptied)
}

fn remove_all(
    root: BorrowedFd<'_>,
    name: &CStr,
    directory: Option<BorrowedFd<'_>>,
    files: Files,
) -> Result<(), WipeError> {
    failpoint!("wipe.begun");
    let mut is_replaced = false;
    match directory {
        Some(directory) => empty(directory, files)?,
        None => match open_directory(root, name) {
            Ok(directory) => empty(directory.as_fd(), files)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::LOOP | Errno::NOTDIR) => is_replaced = true,
            Err(errno) => return Err(failed_at("open", name, errno)),
        },
    }
    failpoint!("wipe.emptied");
    remove(root, name, files)?;
    failpoint!("wipe.removed");
    if is_replaced {
        return Err(WipeError::Replaced);
    }
    verify(root, name, directory)
}

/// Wipes what is in `directory`, and looks again.
pub(super) fn wipe_content(directory: BorrowedFd<'_>) -> Result<(), WipeError> {
    empty(directory, Files::Emptied)?;
    if entries(directory)?.is_empty() { Ok(()) } else { Err(WipeError::StillThere) }
}

fn verify(root: BorrowedFd<'_>, name: &CStr, directory: Option<BorrowedFd<'_>>) -> Result<(), WipeError> {
    match statat(root, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => {}
        Ok(_) => return Err(WipeError::StillThere),
        Err(errno) => return Err(failed_at("look up", name, errno)),
    }
    let Some(directory) = directory else {
        return Ok(());
    };
    // Moved away by somebody: it lives, and only what is in it counts.
    let lives = fstat(directory).map_err(|errno| failed_at("look at", name, errno))?.st_nlink > 0;
    if lives && !entries(directory)?.is_empty() { Err(WipeError::StillThere) } else { Ok(()) }
}

/// Removes what the name stands for: our empty directory, or whatever was put in its place.
fn remove(root: BorrowedFd<'_>, name: &CStr, files: Files) -> Result<(), WipeError> {
    for _ in 0..PASSES {
        match unlinkat(root, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR) => match unlinkat(root, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(Errno::ISDIR) => {}
                Err(errno) => return Err(failed_at("remove", name, errno)),
            },
            Err(Errno::NOTEMPTY) => {
                match open_directory(root, name) {
                    Ok(directory) => empty(directory.as_fd(), files)?,
                    // Changed in between.
                    Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => {}
                    Err(errno) => return Err(failed_at("open", name, errno)),
                }
            }
            Err(errno) => return Err(failed_at("remove", name, errno)),
        }
    }
    Err(WipeError::Busy)
}

fn failed_at(action: &'static str, name: &CStr, errno: Errno) -> WipeError {
    failed(action, &name.to_string_lossy(), errno.into())
}

fn failed(action: &'static str, name: &str, source: io::Error) -> WipeError {
    WipeError::Remove { action, name: name.to_owned(), source }
}
