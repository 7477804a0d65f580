//! Directories as whoever removes them needs them: opened by descriptor, whatever their mode.
//!
//! Rule: a mode is changed through the descriptor of what was found, never by name: between a look and a change by
//! name somebody could put a link there, and the change would be made elsewhere.

use std::ffi::{CStr, CString};
use std::os::fd::{AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{Dir, Mode, OFlags, chmod, fchmod, fstat, openat};
use rustix::io::Errno;

use super::{WipeError, failed};

/// Opens a directory without following a link; one whose mode forbids it is ours to change.
pub(in crate::sandbox) fn open_directory(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(parent, name, flags, Mode::empty()) {
        Err(Errno::ACCESS) => {
            let found = openat(parent, name, flags | OFlags::PATH, Mode::empty())?;
            // This link leads to what was opened, whatever its name stands for by now. fchmod(2) refuses such a
            // descriptor. Without /proc it stays shut.
            chmod(format!("/proc/self/fd/{}", found.as_raw_fd()), Mode::RWXU).map_err(|_| Errno::ACCESS)?;
            openat(&found, c".", flags, Mode::empty())
        }
        opened => opened,
    }
}

/// Gives us every right to an opened directory: without them nothing in it can be removed, and it cannot be moved. One
/// that is another user's stays as it is, and what that forbids is told where it is tried.
pub(super) fn open_up(directory: BorrowedFd<'_>) {
    if fstat(directory).is_ok_and(|stat| Mode::from_raw_mode(stat.st_mode).contains(Mode::RWXU)) {
        return;
    }
    let _ = fchmod(directory, Mode::RWXU);
}

/// Names in a directory, without `.` and `..`; none in one that was removed.
pub(in crate::sandbox) fn entries(directory: BorrowedFd<'_>) -> Result<Vec<CString>, WipeError> {
    let unreadable = |errno: Errno| failed("read", "the directory", errno.into());
    let mut names = Vec::new();
    let opened = match Dir::read_from(directory) {
        Err(Errno::NOENT) => return Ok(names),
        opened => opened.map_err(unreadable)?,
    };
    for entry in opened {
        let entry = entry.map_err(unreadable)?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}
