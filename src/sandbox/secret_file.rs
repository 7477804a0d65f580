//! Secret files below an opened directory.
//!
//! Rule: every name is made anew, without following links; what cannot be made so is refused.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;

use super::protocol::{SecretFile, is_below};
use super::wipe::open_directory;

/// Makes the file, 0600 and empty, and the directories that it lies in, 0700.
pub(super) fn create(directory: BorrowedFd<'_>, path: &Path) -> io::Result<File> {
    if !is_below(path) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "its path leaves the secret directory"));
    }
    let mut parent = directory.try_clone_to_owned()?;
    for component in path.parent().into_iter().flat_map(Path::components) {
        parent = make_below(parent.as_fd(), component)?;
    }
    let name = path.file_name().map(PathBuf::from).unwrap_or_default();
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(openat(&parent, &name, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// Writes what belongs into it.
pub(super) fn fill(written: &mut File, file: &SecretFile) -> io::Result<()> {
    written.write_all(file.content.expose().as_bytes())
}

fn make_below(parent: BorrowedFd<'_>, component: Component<'_>) -> Result<OwnedFd, Errno> {
    let name = CString::new(component.as_os_str().as_encoded_bytes()).map_err(|_| Errno::INVAL)?;
    match mkdirat(parent, &name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open_directory(parent, &name),
        Err(errno) => Err(errno),
    }
}
