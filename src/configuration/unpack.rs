//! The walk over a hostile archive, writing what it allows: what the agent does before a run.
//!
//! Rules: the kernel refuses every step out of the directory and every link (`openat2`), whatever the checks before
//! have let through; a file is made, never opened (`O_EXCL`); files get 0600 or 0700, directories 0700.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};

use super::walk::{FileError, Sink, walk};
use super::{ArchiveError, Facts, Limits};

/// Below the directory, through no link, within its file system.
const INSIDE: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

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
        let top = rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let mut left = std::fs::read_dir(path).map_err(failed)?;
        if left.next().is_some() { Err(ArchiveError::NotEmpty) } else { Ok(Self { top }) }
    }
}

impl Sink for Directory {
    fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        let make = || {
            let Some((parent, name)) = path.rsplit_once('/') else {
                return rustix::fs::mkdirat(&self.top, path, Mode::RWXU);
            };
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let parent = rustix::fs::openat2(&self.top, parent, flags, Mode::empty(), INSIDE)?;
            rustix::fs::mkdirat(parent, name, Mode::RWXU)
        };
        make().map_err(|error| ArchiveError::from_write(path, error.into()))
    }

    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<u64, FileError> {
        let failed = |error: io::Error| FileError::Write(ArchiveError::from_write(path, error));
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = if executable { Mode::RWXU } else { Mode::RUSR | Mode::WUSR };
        let file = rustix::fs::openat2(&self.top, path, flags, mode, INSIDE).map_err(|error| failed(error.into()))?;
        let mut file = File::from(file);
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
