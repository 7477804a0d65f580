//! The secret directory within the sandbox: memory that is never swapped, read-only for the step.
//!
//! Rule: it exists in the sandbox alone, and dies with it; the descriptor that goes to the launcher is the only way to
//! change it, and empties it earlier.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::mount::{MountFlags, mount_bind};

use super::bind::{failed, make, mount_memory, restrict};
use crate::sandbox::protocol::{Refusal, SecretDirectory, SecretFile, is_below};
use crate::sandbox::secret_file::{create, fill};

/// A secret directory in its place.
pub(super) struct Placed {
    /// Opened for changes.
    pub(super) directory: OwnedFd,
    /// Where the step finds it.
    pub(super) path: PathBuf,
}

/// Makes it with all of its files. It is written at `before`, a directory that is gone before the step starts.
pub(super) fn place(wanted: &SecretDirectory, before: &Path) -> Result<Placed, Refusal> {
    let path = wanted.path();
    let refused = |detail: String| Refusal::SecretDirectory { path: wanted.path(), detail };
    if !is_below(Path::new(&wanted.name)) || wanted.name.contains('/') {
        return Err(refused("its name is not one plain component".to_owned()));
    }
    // Not tmpfs: it would be swapped, and its `noswap` is refused in a user namespace.
    mount_memory(before, "ramfs", "mode=0700").map_err(refused)?;
    failpoint!("init.secrets.mounted");
    let directory = open(before, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    let directory = directory.map_err(|errno| refused(errno.to_string()))?;
    for file in &wanted.files {
        let written = create(directory.as_fd(), &file.path).and_then(|mut written| fill(&mut written, file));
        written.map_err(|error| refused(failed("write", &file.path, error)))?;
        failpoint!("init.secrets.filled");
    }
    for directory in directories(&wanted.files) {
        let directory = before.join(directory);
        // Known names can be read, and none be found by listing.
        let closed = fs::set_permissions(&directory, fs::Permissions::from_mode(0o100));
        closed.map_err(|error| refused(failed("close", &directory, error)))?;
    }
    put(before, &path).map_err(refused)?;
    failpoint!("init.secrets.placed");
    Ok(Placed { directory, path })
}

/// Every directory of the files, deepest first, and the one that holds all as the empty path.
fn directories(files: &[SecretFile]) -> Vec<&Path> {
    let mut directories: Vec<&Path> = files.iter().flat_map(|file| file.path.ancestors().skip(1)).collect();
    directories.push(Path::new(""));
    directories.sort_by_key(|path| std::cmp::Reverse(path.components().count()));
    directories.dedup();
    directories
}

/// Read-only where the step finds it.
fn put(before: &Path, path: &Path) -> Result<(), String> {
    make(path, true).map_err(|errno| failed("make", path, errno))?;
    mount_bind(before, path).map_err(|errno| failed("mount", path, errno))?;
    restrict(path, MountFlags::RDONLY | MountFlags::NOEXEC)
}
