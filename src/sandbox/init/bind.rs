//! What of the host comes into the sandbox: opened before the root changes, put in its place afterwards.
//!
//! Rule: a path is resolved once, on the host, so that no link is followed in a root that we make; what may not be
//! changed is read-only from its first moment, with everything that is mounted in it.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, StatVfsMountFlags, fstat, mkdirat, openat, statvfs};
use rustix::io::Errno;
use rustix::mount::{MountFlags, MoveMountFlags, OpenTreeFlags, mount, mount_remount, move_mount, open_tree};

/// What may be done with something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Change,
    /// Read and written as a device is; the mount stays as it is.
    Device,
}

/// Something of the host, and where it will be.
pub(super) struct Source {
    tree: OwnedFd,
    target: PathBuf,
    is_directory: bool,
    usage: Use,
}

/// Opens `path` with everything mounted below it; `None` if it is not there or not ours to see.
pub(super) fn open(path: &Path, usage: Use) -> Result<Option<Source>, String> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_RECURSIVE;
    let tree = match open_tree(CWD, path, flags) {
        Ok(tree) => tree,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS | Errno::LOOP) => return Ok(None),
        Err(errno) => return Err(failed("open", path, errno)),
    };
    let stat = fstat(&tree).map_err(|errno| failed("look at", path, errno))?;
    let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
    Ok(Some(Source { tree, target: path.to_owned(), is_directory, usage }))
}

impl Source {
    /// Puts it in its place.
    pub(super) fn attach(&self) -> Result<(), String> {
        let target = &self.target;
        make(target, self.is_directory).map_err(|errno| failed("make", target, errno))?;
        move_mount(self.tree.as_fd(), c"", CWD, target, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
            .map_err(|errno| failed("mount", target, errno))?;
        match self.usage {
            Use::Read => restrict(target, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV),
            Use::Change => restrict(target, MountFlags::NOSUID | MountFlags::NODEV),
            // Neither keeps a device from being written to, but its owner from changing who may.
            Use::Device => restrict(target, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NOEXEC),
        }
    }

    /// Whether nothing of it may be changed.
    pub(super) fn is_for_reading(&self) -> bool {
        self.usage == Use::Read
    }

    /// Where it is in the sandbox.
    pub(super) fn target(&self) -> &Path {
        &self.target
    }
}

/// Adds flags to one mount. Those that it has stay: in a user namespace they are locked.
pub(super) fn restrict(target: &Path, more: MountFlags) -> Result<(), String> {
    let has = statvfs(target).map_err(|errno| failed("look at", target, errno))?.f_flag;
    let kept = [
        (StatVfsMountFlags::RDONLY, MountFlags::RDONLY),
        (StatVfsMountFlags::NOSUID, MountFlags::NOSUID),
        (StatVfsMountFlags::NODEV, MountFlags::NODEV),
        (StatVfsMountFlags::NOEXEC, MountFlags::NOEXEC),
    ];
    let kept = kept.into_iter().filter(|(flag, _)| has.contains(*flag));
    let flags = kept.fold(MountFlags::BIND | more, |flags, (_, flag)| flags | flag);
    mount_remount(target, flags, c"").map_err(|errno| failed("restrict", target, errno))
}

/// Makes everything that is mounted below `read` read-only as well, but for what is in `kept`. `mounts` is a `mountinfo`
/// (proc(5)) of the root that is being made.
pub(super) fn restrict_below(mounts: &str, read: &[&Path], kept: &[&Path]) -> Result<(), String> {
    for point in mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(unescape) {
        let is_below = read.iter().any(|target| point.starts_with(target) && point != *target);
        if is_below && !kept.iter().any(|target| point.starts_with(target)) {
            restrict(&point, MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV)?;
        }
    }
    Ok(())
}

/// Blanks and the like are written as `\040`.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        let code = behind.get(..3).filter(|_| first == b'\\').and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = code.and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = escaped.and_then(|_| behind.get(3..)).unwrap_or(behind);
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Mounts an empty file system in memory.
pub(super) fn mount_memory(target: &Path, kind: &str, mode: &str) -> Result<(), String> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    let options = std::ffi::CString::new(mode).map_err(|error| error.to_string())?;
    mount(kind, target, kind, flags, Some(options.as_c_str())).map_err(|errno| failed("mount", target, errno))
}

/// Makes a directory or an empty file, and every directory above it.
pub(super) fn make(target: &Path, is_directory: bool) -> Result<(), Errno> {
    match make_one(target, is_directory) {
        // Most have their directory already; each is looked for from the top only where something is missing.
        Err(Errno::NOENT) => {}
        // Whatever it is.
        Err(Errno::EXIST) => return Ok(()),
        made => return made,
    }
    let above: Vec<&Path> = target.ancestors().skip(1).collect();
    above.into_iter().rev().try_for_each(|ancestor| make_one(ancestor, true))?;
    make_one(target, is_directory)
}

fn make_one(target: &Path, is_directory: bool) -> Result<(), Errno> {
    if !is_directory {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        return openat(CWD, target, flags, Mode::RUSR).map(drop);
    }
    match mkdirat(CWD, target, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// What could not be done, to what, and why.
pub(super) fn failed(action: &str, path: &Path, error: impl Into<io::Error>) -> String {
    format!("cannot {action} {}: {}", path.display(), error.into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::unescape;

    #[test]
    fn names_of_mounts_are_read_as_the_kernel_writes_them() {
        for (written, meant) in
            [("/a\\040b", "/a b"), ("/a\\134040", "/a\\040"), ("/plain", "/plain"), ("/a\\04", "/a\\04")]
        {
            assert_eq!(unescape(written), Path::new(meant));
        }
    }
}
