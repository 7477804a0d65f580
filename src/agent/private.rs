//! A directory in memory for what a run must not leave on a disk: plan file, artifact, CLI configuration.
//!
//! Rule: below the secret root, 0700, locked as long as it is ours, so that no sweep takes it; gone with its run. What is
//! written goes into the directory that was made, wherever its path may lead by then.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, flock, mkdirat, openat, unlinkat};
use rustix::io::Errno;

use crate::sandbox::{Files, SecretFile, SecretRoot, empty_directory, remove_tree};

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The directory; wiped when dropped, but only [`PrivateDirectory::wipe`] says whether it worked.
#[derive(Debug)]
pub(crate) struct PrivateDirectory {
    path: PathBuf,
    /// The directory itself, locked.
    directory: File,
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
            if let Ok(directory) = openat(CWD, &path, DIRECTORY, Mode::empty()).map(File::from)
                && flock(&directory, FlockOperation::NonBlockingLockShared).is_ok()
                && is_still(&directory, &path)
            {
                failpoint!("agent.private.locked");
                return Ok(Self { path, directory });
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
        match mkdirat(&self.directory, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a file of ours, 0600, in place of whatever has that name; the directories that it lies in are there.
    pub(crate) fn create(&self, name: &Path) -> io::Result<File> {
        let mut directory: OwnedFd = self.directory.try_clone()?.into();
        for component in name.parent().into_iter().flat_map(Path::components) {
            directory = openat(&directory, component.as_os_str(), DIRECTORY, Mode::empty())?;
        }
        let name = name.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        match unlinkat(&directory, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(errno) => return Err(errno.into()),
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(openat(&directory, name, flags, Mode::RUSR | Mode::WUSR)?.into())
    }

    /// Writes a file of ours, 0600, over one of that name.
    pub(crate) fn write(&self, name: &Path, content: &[u8]) -> io::Result<()> {
        self.create(name)?.write_all(content)
    }

    /// Writes a secret file, 0600.
    pub(crate) fn write_secret(&self, file: &SecretFile) -> io::Result<()> {
        self.write(&file.path, file.content.expose().as_bytes())
    }

    /// Empties it wherever it is, removes what has its name, and looks again.
    pub(crate) fn wipe(&self) -> io::Result<()> {
        let emptied = empty_directory(&self.directory);
        remove_tree(&self.path, Files::Emptied)?;
        emptied
    }
}

impl Drop for PrivateDirectory {
    fn drop(&mut self) {
        if let Err(error) = self.wipe() {
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
    fn what_is_written_goes_into_the_directory_that_was_made_and_not_where_its_path_leads() {
        let shared = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = SecretRoot::choose(&[shared.path().to_owned()], false).unwrap();
        let directory = PrivateDirectory::make(&root, "run").unwrap();
        directory.make_directory("files").unwrap();
        let (moved, outside) = (shared.path().join("moved"), shared.path().join("outside"));
        std::fs::create_dir_all(outside.join("files")).unwrap();
        std::fs::rename(directory.path(), &moved).unwrap();
        std::os::unix::fs::symlink(&outside, directory.path()).unwrap();
        directory.write(Path::new("plan"), b"x").unwrap();
        directory.write(Path::new("files/token"), b"x").unwrap();
        assert!(moved.join("plan").exists() && moved.join("files/token").exists());
        assert!(!outside.join("plan").exists() && !outside.join("files/token").exists());
        // Nor through a link in it, and never out of it.
        std::fs::remove_dir_all(moved.join("files")).unwrap();
        std::os::unix::fs::symlink(outside.join("files"), moved.join("files")).unwrap();
        for name in ["files/token", "nowhere/token", "..", ""] {
            assert!(directory.write(Path::new(name), b"x").is_err(), "{name:?}");
        }
        assert!(!outside.join("files/token").exists());
        // The link in its place is removed, and told; what was made is empty, wherever it is.
        assert!(directory.wipe().is_err());
        assert!(outside.join("files").exists());
        assert_eq!(std::fs::read_dir(&moved).unwrap().count(), 0);
    }

    #[test]
    fn a_sweep_leaves_it_alone_and_a_drop_removes_it() {
        let shared = tempfile::tempdir_in("/dev/shm").unwrap();
        let root = SecretRoot::choose(&[shared.path().to_owned()], false).unwrap();
        let directory = PrivateDirectory::make(&root, "run").unwrap();
        directory.write(Path::new("plan"), b"x").unwrap();
        assert_eq!(sweep(root.path()).unwrap().in_use, [directory.path()]);
        let path = directory.path().to_owned();
        assert!(path.join("plan").exists());
        drop(directory);
        assert!(!path.exists());
    }
}
