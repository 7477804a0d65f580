//! A directory in memory for what a run must not leave on a disk: plan file, artifact, CLI configuration.
//!
//! Rule: below the secret root, 0700, locked as long as it is ours, so that no sweep takes it; gone with its run.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::remove;
use crate::sandbox::{SecretFile, SecretRoot};

/// The directory; wiped when dropped, but only [`PrivateDirectory::wipe`] says whether it worked.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    _lock: File,
}

impl PrivateDirectory {
    /// Makes one whose name begins with `prefix`.
    pub(crate) fn make(root: &SecretRoot, prefix: &str) -> io::Result<Self> {
        let path = root.path().join(format!("{prefix}-{}", uuid::Uuid::new_v4().simple()));
        // A sweep may take it between the making and the locking: then it is made again.
        for _ in 0..100 {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            if let Ok(lock) = File::open(&path)
                && flock(&lock, FlockOperation::NonBlockingLockShared).is_ok()
                && is_still(&lock, &path)
            {
                return Ok(Self { path, _lock: lock });
            }
        }
        Err(io::ErrorKind::ResourceBusy.into())
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes a directory in it, 0700; one that is there stays.
    pub(crate) fn make_directory(&self, name: &str) -> io::Result<()> {
        match DirBuilder::new().mode(0o700).create(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes a file of ours, 0600, over one of that name.
    pub(crate) fn write(&self, name: &Path, content: &[u8]) -> io::Result<()> {
        create_anew(&self.path.join(name))?.write_all(content)
    }

    /// Writes a secret file, 0600.
    pub(crate) fn write_secret(&self, file: &SecretFile) -> io::Result<()> {
        self.write(&file.path, file.content.expose().as_bytes())
    }

    /// Removes it and looks again.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        remove::tree(&self.path)
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = remove::tree(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "a private directory could not be removed");
        }
    }
}

/// A new file of ours, 0600, in place of whatever has that name. A step may have put a link or a pipe there, and what is
/// written through a link is written outside of its sandbox.
pub(crate) fn create_anew(path: &Path) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Whether the path still names what was opened.
pub(crate) fn is_still(opened: &File, path: &Path) -> bool {
    match (opened.metadata(), std::fs::symlink_metadata(path)) {
        (Ok(opened), Ok(named)) => (opened.dev(), opened.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{PrivateDirectory, create_anew};
    use crate::sandbox::{SecretRoot, sweep};

    #[test]
    fn nothing_is_written_through_a_link_that_a_step_has_made() {
        let place = tempfile::tempdir().unwrap();
        let (target, link) = (place.path().join("target"), place.path().join("link"));
        std::fs::write(&target, "kept").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        std::io::Write::write_all(&mut create_anew(&link).unwrap(), b"new").unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"kept");
        assert_eq!(std::fs::read(&link).unwrap(), b"new");
        let dangling = place.path().join("dangling");
        std::os::unix::fs::symlink(place.path().join("elsewhere"), &dangling).unwrap();
        create_anew(&dangling).unwrap();
        assert!(!place.path().join("elsewhere").exists());
    }

    #[test]
    fn a_sweep_leaves_it_alone_and_a_drop_removes_it() {
        let shared = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = SecretRoot::choose(&[shared.path().to_owned()], false).unwrap();
        let directory = PrivateDirectory::make(&root, "run").unwrap();
        directory.write(Path::new("plan"), b"x").unwrap();
        assert_eq!(sweep(&root).unwrap().in_use, [directory.path()]);
        let path = directory.path().to_owned();
        assert!(path.join("plan").exists());
        drop(directory);
        assert!(!path.exists());
    }
}
