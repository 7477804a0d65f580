//! Removes a secret directory and verifies that it is gone.
//!
//! Rule: by descriptors, never by paths that somebody could turn elsewhere; a link is removed, never followed. What
//! cannot be verified is an error. Files are emptied before they are unlinked, so that a hard link made elsewhere
//! holds nothing; overwriting is of no use on tmpfs, whose pages are freed.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, chmodat, fstat, openat, statat, unlinkat};
use rustix::io::Errno;

/// How often a directory is emptied again, if something writes into it meanwhile.
const PASSES: u32 = 50;

/// Deepest directory that is followed: nothing of ours is nearly as deep.
const DEEPEST: u32 = 64;

/// Why a wipe is not verified.
#[derive(Debug, thiserror::Error)]
pub(super) enum WipeError {
    #[error("cannot {action} {name}: {source}")]
    Remove { action: &'static str, name: String, source: io::Error },
    #[error("something else was in its place, so it was moved to where it cannot be found")]
    Replaced,
    #[error("new files appear in it as fast as they are removed")]
    Busy,
    #[error("directories in it are more than {DEEPEST} deep")]
    TooDeep,
    #[error("it is still there after it was removed")]
    StillThere,
}

/// Wipes `name` in `root`. `directory` is that directory opened before, if it was: then it is emptied wherever it is.
/// That there is nothing of this name is success, unless it had been opened and lives on elsewhere with content.
pub(super) fn wipe(root: BorrowedFd<'_>, name: &str, directory: Option<BorrowedFd<'_>>) -> Result<(), WipeError> {
    let name = CString::new(name).map_err(|error| failed("name", name, error.into()))?;
    let name = name.as_c_str();
    let mut is_replaced = false;
    match directory {
        Some(directory) => empty(directory, 0)?,
        None => match open_directory(root, name) {
            Ok(directory) => empty(borrow(&directory), 0)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(Errno::LOOP | Errno::NOTDIR) => is_replaced = true,
            Err(errno) => return Err(failed_at("open", name, errno)),
        },
    }
    remove(root, name)?;
    if is_replaced {
        return Err(WipeError::Replaced);
    }
    verify(root, name, directory)
}

/// Wipes what is in `directory`, and looks again.
pub(super) fn wipe_content(directory: BorrowedFd<'_>) -> Result<(), WipeError> {
    rustix::fs::fchmod(directory, Mode::RWXU).map_err(|errno| failed("open", "it", errno.into()))?;
    empty(directory, 0)?;
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
fn remove(root: BorrowedFd<'_>, name: &CStr) -> Result<(), WipeError> {
    for _ in 0..PASSES {
        match unlinkat(root, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => return Ok(()),
            Err(Errno::NOTDIR) => match unlinkat(root, name, AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failed_at("remove", name, errno)),
            },
            Err(Errno::NOTEMPTY) => {
                let directory = open_directory(root, name).map_err(|errno| failed_at("open", name, errno))?;
                empty(borrow(&directory), 0)?;
            }
            Err(errno) => return Err(failed_at("remove", name, errno)),
        }
    }
    Err(WipeError::Busy)
}

fn empty(directory: BorrowedFd<'_>, depth: u32) -> Result<(), WipeError> {
    if depth > DEEPEST {
        return Err(WipeError::TooDeep);
    }
    for _ in 0..PASSES {
        let names = entries(directory)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            remove_entry(directory, &name, depth)?;
        }
    }
    Err(WipeError::Busy)
}

fn remove_entry(directory: BorrowedFd<'_>, name: &CStr, depth: u32) -> Result<(), WipeError> {
    let kind = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => FileType::from_raw_mode(stat.st_mode),
        Err(Errno::NOENT) => return Ok(()),
        Err(errno) => return Err(failed_at("look at", name, errno)),
    };
    let flags = if kind == FileType::Directory {
        match open_directory(directory, name) {
            Ok(below) => empty(borrow(&below), depth + 1)?,
            Err(Errno::NOENT) => return Ok(()),
            Err(errno) => return Err(failed_at("open", name, errno)),
        }
        AtFlags::REMOVEDIR
    } else {
        if kind == FileType::RegularFile {
            // Best effort: the file may be read-only. Unlinking it is what counts.
            let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            drop(openat(directory, name, flags, Mode::empty()));
        }
        AtFlags::empty()
    };
    match unlinkat(directory, name, flags) {
        // Changed in between: the next pass sees what it is now.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => Ok(()),
        Err(errno) => Err(failed_at("remove", name, errno)),
    }
}

/// Opens a directory without following a link; one whose mode forbids it is ours to change.
pub(super) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            chmodat(parent, name, Mode::RWXU, AtFlags::empty())?;
            openat(parent, name, flags, Mode::empty())
        }
        opened => opened,
    }
}

/// Names in a directory, without `.` and `..`.
pub(super) fn entries(directory: BorrowedFd<'_>) -> Result<Vec<CString>, WipeError> {
    let unreadable = |errno: Errno| failed("read", "the directory", errno.into());
    let mut names = Vec::new();
    for entry in Dir::read_from(directory).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

fn borrow(directory: &OwnedFd) -> BorrowedFd<'_> {
    std::os::fd::AsFd::as_fd(directory)
}

fn failed_at(action: &'static str, name: &CStr, errno: Errno) -> WipeError {
    failed(action, &name.to_string_lossy(), errno.into())
}

fn failed(action: &'static str, name: &str, source: io::Error) -> WipeError {
    WipeError::Remove { action, name: name.to_owned(), source }
}
