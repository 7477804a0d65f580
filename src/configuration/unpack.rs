//! The walk over a hostile archive, writing what it allows: what the agent does before a run.
//!
//! Rules: one step per name, each from an opened directory and through no link, so that nothing leads out, whatever the
//! checks before have let through; a file is made, never opened (`O_EXCL`); files get 0600 or 0700, directories 0700.
//! Not by `openat2`: systemd's `RestrictSUIDSGID=`, which our unit has, answers it with ENOSYS (its filter cannot see the
//! mode), and so do container runtimes that do not know it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;

use super::walk::{FileError, Sink, walk};
use super::{ArchiveError, Facts, Limits};

/// Unpacks the `.tar.gz` in `archive` into the existing, empty directory `into`. On an error, what was written so far
/// is left there: the caller wipes the directory.
pub fn unpack(archive: impl Read, into: &Path, limits: &Limits) -> Result<Facts, ArchiveError> {
    walk(archive, limits, &mut Directory::open(into)?)
}

/// The directory that is unpacked into, held open.
pub(super) struct Directory {
    top: OwnedFd,
}

impl Directory {
    /// Opens `path`, which must be an empty directory and no link.
    pub(super) fn open(path: &Path) -> Result<Self, ArchiveError> {
        let failed = |source| ArchiveError::from_write("", source);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let top = openat(CWD, path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut left = std::fs::read_dir(path).map_err(failed)?;
        if left.next().is_some() { Err(ArchiveError::NotEmpty) } else { Ok(Self { top }) }
    }

    /// Opens the directory that `path` is in, step by step, and gives the last name in it.
    fn parent<'a>(&self, path: &'a str) -> Result<(OwnedFd, &'a str), Errno> {
        // With O_NOFOLLOW a link is no directory.
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut names = path.split('/');
        let last = names.next_back().unwrap_or_default();
        let mut parent = openat(&self.top, ".", flags, Mode::empty())?;
        for name in names {
            parent = openat(&parent, downward(name)?, flags, Mode::empty())?;
        }
        Ok((parent, downward(last)?))
    }
}

/// A name that stays in its directory or leads down from it.
fn downward(name: &str) -> Result<&str, Errno> {
    if ["", ".", ".."].contains(&name) { Err(Errno::XDEV) } else { Ok(name) }
}

impl Sink for Directory {
    fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        let made = self.parent(path).and_then(|(parent, name)| rustix::fs::mkdirat(parent, name, Mode::RWXU));
        made.map_err(|error| ArchiveError::from_write(path, error.into()))
    }

    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<u64, FileError> {
        let failed = |error: io::Error| FileError::Write(ArchiveError::from_write(path, error));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
        let opened = self.parent(path).and_then(|(parent, name)| openat(parent, name, flags, mode));
        let mut file = File::from(opened.map_err(|error| failed(error.into()))?);
        let mut buffer = vec![0; 64 << 10];
        let mut written = 0;
        loop {
            let read = content.read(&mut buffer).map_err(FileError::Content)?;
            if read == 0 {
                return Ok(written);
            }
            file.write_all(&buffer[..read]).map_err(failed)?;
            written += read as u64;
        }
    }
}
