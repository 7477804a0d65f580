//! Trees that somebody made to be left.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};

use super::{Files, remove_tree};

/// Deeper than any path that the kernel takes, any stack that a recursion may have, and any limit of open files.
const DEEP: usize = 3000;

/// A directory in a directory in a directory …, each 0500, a file at the end.
fn nest(top: &Path) {
    let flags = OFlags::DIRECTORY | OFlags::CLOEXEC;
    let mut directory: OwnedFd = openat(CWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..DEEP {
        mkdirat(&directory, "d", Mode::RWXU).unwrap();
        let below = openat(&directory, "d", flags, Mode::empty()).unwrap();
        rustix::fs::fchmod(directory.as_fd(), Mode::RUSR | Mode::XUSR).unwrap();
        directory = below;
    }
    drop(openat(&directory, "file", OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).unwrap());
}

#[test]
fn no_depth_and_no_mode_keeps_a_directory_from_being_removed() {
    for files in [Files::Emptied, Files::Unlinked] {
        let home = tempfile::tempdir().unwrap();
        let top = home.path().join("run");
        fs::create_dir(&top).unwrap();
        nest(&top);
        remove_tree(&top, files).unwrap();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
        // What is not there is removed already, also with what it would be in.
        remove_tree(&top, files).unwrap();
        remove_tree(&top.join("a/b"), files).unwrap();
    }
}

#[test]
fn links_are_not_followed_and_modes_of_what_they_lead_to_stay() {
    let home = tempfile::tempdir().unwrap();
    let (outside, top) = (home.path().join("outside"), home.path().join("run"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "kept").unwrap();
    fs::set_permissions(&outside, Permissions::from_mode(0o555)).unwrap();
    fs::create_dir_all(top.join("cache/deep")).unwrap();
    fs::write(top.join("cache/deep/file"), "x").unwrap();
    symlink(&outside, top.join("link")).unwrap();
    symlink(outside.join("file"), top.join("cache/deep/link")).unwrap();
    for (directory, mode) in [("cache/deep", 0o000), ("cache", 0o500)] {
        fs::set_permissions(top.join(directory), Permissions::from_mode(mode)).unwrap();
    }
    remove_tree(&top, Files::Emptied).unwrap();
    assert!(!top.exists());
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "kept");
    assert_eq!(fs::metadata(&outside).unwrap().mode() & 0o7777, 0o555);
    fs::set_permissions(&outside, Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_link_in_its_place_is_removed_and_told() {
    let home = tempfile::tempdir().unwrap();
    let (outside, top) = (home.path().join("outside"), home.path().join("run"));
    fs::create_dir(&outside).unwrap();
    symlink(&outside, &top).unwrap();
    assert!(remove_tree(&top, Files::Emptied).unwrap_err().to_string().contains("something else was in its place"));
    assert!(fs::symlink_metadata(&top).is_err() && outside.exists());
}

#[test]
fn a_hard_link_of_a_secret_holds_nothing_and_one_of_a_cache_stays_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    for (files, content) in [(Files::Emptied, ""), (Files::Unlinked, "content")] {
        let (top, linked) = (home.path().join("run"), home.path().join(format!("{files:?}")));
        fs::create_dir(&top).unwrap();
        fs::write(top.join("file"), "content").unwrap();
        fs::hard_link(top.join("file"), &linked).unwrap();
        remove_tree(&top, files).unwrap();
        assert_eq!(fs::read_to_string(&linked).unwrap(), content);
    }
}

#[test]
fn a_relative_path_is_refused() {
    for path in ["run", "", "/", "a/b"] {
        assert_eq!(remove_tree(Path::new(path), Files::Unlinked).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
