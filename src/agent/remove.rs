//! Removes a directory tree that tofu and what it started have written, and looks again.
//!
//! Rule: links are removed, never followed (`remove_dir_all` works by descriptors); what is still there afterwards is
//! an error.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Removes `path` with everything in it; that it is not there is success.
pub(crate) fn tree(path: &Path) -> io::Result<()> {
    for attempt in 0..3 {
        match std::fs::remove_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && attempt < 2 => open_up(path),
            // Something was still writing.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && attempt < 2 => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => break,
            Err(error) => return Err(error),
            Ok(()) => break,
        }
    }
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("it is still there after it was removed")),
    }
}

/// Gives back the rights without which a directory cannot be emptied: caches are often read-only.
fn open_up(directory: &Path) {
    // Best effort: what stays shut makes the removal fail, which is told.
    let _ = std::fs::set_permissions(directory, Permissions::from_mode(0o700));
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::tree;

    #[test]
    fn read_only_directories_go_too_and_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let outside = home.path().join("outside");
        fs::write(&outside, "keep").unwrap();
        let top = home.path().join("run");
        fs::create_dir_all(top.join("cache/deep")).unwrap();
        fs::write(top.join("cache/deep/file"), "x").unwrap();
        symlink(home.path(), top.join("link")).unwrap();
        for directory in ["cache/deep", "cache"] {
            fs::set_permissions(top.join(directory), fs::Permissions::from_mode(0o500)).unwrap();
        }
        tree(&top).unwrap();
        assert!(!top.exists() && outside.exists());
        tree(&top).unwrap();
    }
}
