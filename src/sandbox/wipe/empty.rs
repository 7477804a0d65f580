//! Empties a directory, however deep what is in it.
//!
//! Rule: no depth costs anything: a directory within a directory is moved up to the one that is being emptied, and
//! waits there for its turn. So two descriptors are open at most, and no path is ever built.

use std::ffi::{CStr, CString};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags, openat, renameat, renameat_with, statat, unlinkat};
use rustix::io::Errno;

use super::open::{entries, open_directory, open_up};
use super::{Files, PASSES, WipeError, failed_at};

/// How long somebody who writes into it all the time can keep us there. The largest run directory takes a fraction.
const LIMIT: Duration = Duration::from_mins(10);

/// One directory that is being emptied.
struct Emptying<'a> {
    top: BorrowedFd<'a>,
    files: Files,
    /// Names in it that are still there.
    left: Vec<CString>,
    /// Number of the next directory that is moved up.
    next: u64,
    end: Instant,
}

/// Removes everything in `top`, which stays.
pub(super) fn empty(top: BorrowedFd<'_>, files: Files) -> Result<(), WipeError> {
    open_up(top);
    let mut emptying = Emptying { top, files, left: Vec::new(), next: 0, end: Instant::now() + LIMIT };
    for _ in 0..PASSES {
        emptying.left = entries(top)?;
        if emptying.left.is_empty() {
            return Ok(());
        }
        while let Some(name) = emptying.left.pop() {
            if Instant::now() > emptying.end {
                return Err(WipeError::Busy);
            }
            emptying.remove(&name)?;
        }
    }
    Err(WipeError::Busy)
}

impl Emptying<'_> {
    /// Removes what `name` stands for now; what changes meanwhile is seen by the next pass.
    fn remove(&mut self, name: &CStr) -> Result<(), WipeError> {
        match kind(self.top, name)? {
            None => return Ok(()),
            Some(FileType::Directory) => {}
            Some(kind) => return remove_other(self.top, name, kind, self.files),
        }
        let directory = match open_directory(self.top, name) {
            Ok(directory) => directory,
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(failed_at("open", name, errno)),
        };
        open_up(directory.as_fd());
        for below in entries(directory.as_fd())? {
            match kind(directory.as_fd(), &below)? {
                None => {}
                Some(FileType::Directory) => self.move_up(directory.as_fd(), &below)?,
                Some(kind) => remove_other(directory.as_fd(), &below, kind, self.files)?,
            }
        }
        unlink(self.top, name, AtFlags::REMOVEDIR)
    }

    /// Takes a directory out of its parent and remembers it.
    fn move_up(&mut self, parent: BorrowedFd<'_>, name: &CStr) -> Result<(), WipeError> {
        match open_directory(parent, name) {
            // Its own mode counts too, because its `..` changes.
            Ok(directory) => open_up(directory.as_fd()),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
            Err(errno) => return Err(failed_at("open", name, errno)),
        }
        while Instant::now() <= self.end {
            let above = CString::new(format!(".nigari-{}", self.next)).unwrap_or_default();
            self.next += 1;
            match move_to(parent, name, self.top, &above) {
                Ok(()) => {
                    failpoint!("wipe.directory.moved");
                    self.left.push(above);
                    return Ok(());
                }
                Err(Errno::EXIST | Errno::NOTEMPTY | Errno::NOTDIR) => {}
                Err(Errno::NOENT) => return Ok(()),
                Err(errno) => return Err(failed_at("move", name, errno)),
            }
        }
        Err(WipeError::Busy)
    }
}

/// Replaces nothing where the file system can promise that.
fn move_to(parent: BorrowedFd<'_>, name: &CStr, top: BorrowedFd<'_>, above: &CStr) -> Result<(), Errno> {
    match renameat_with(parent, name, top, above, RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS) => renameat(parent, name, top, above),
        moved => moved,
    }
}

/// What a name stands for; `None` when there is nothing of that name any more.
fn kind(directory: BorrowedFd<'_>, name: &CStr) -> Result<Option<FileType>, WipeError> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(failed_at("look at", name, errno)),
    }
}

/// Removes a file, a link, a pipe, a socket.
fn remove_other(directory: BorrowedFd<'_>, name: &CStr, kind: FileType, files: Files) -> Result<(), WipeError> {
    if (kind, files) == (FileType::RegularFile, Files::Emptied) {
        // Best effort: the file may be read-only. Unlinking it is what counts.
        let flags = OFlags::WRONLY | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        drop(openat(directory, name, flags, Mode::empty()));
        failpoint!("wipe.file.emptied");
    }
    unlink(directory, name, AtFlags::empty())?;
    failpoint!("wipe.file.unlinked");
    Ok(())
}

fn unlink(directory: BorrowedFd<'_>, name: &CStr, flags: AtFlags) -> Result<(), WipeError> {
    match unlinkat(directory, name, flags) {
        // Changed in between: the next pass sees what it is now.
        Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::NOTDIR | Errno::ISDIR) => Ok(()),
        Err(errno) => Err(failed_at("remove", name, errno)),
    }
}
