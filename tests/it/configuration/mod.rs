//! Archives of other programs, unpacked; ours, read by other programs.

#![expect(clippy::unwrap_used, reason = "in a test every failure is a panic")]

use std::path::Path;

use nigari::configuration::{ArchiveError, Limits, PackRequest, check, pack, unpack};
use support::child::{command, run};

fn configuration() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let long = format!("modules/{}/{}", "d".repeat(120), "e".repeat(120));
    std::fs::create_dir_all(directory.path().join(&long)).unwrap();
    std::fs::write(directory.path().join(&long).join("main.tf"), "locals {}\n").unwrap();
    std::fs::write(directory.path().join("main.tf"), "locals {}\n").unwrap();
    std::fs::write(directory.path().join("größe.txt"), vec![7; 300_000]).unwrap();
    directory
}

fn tar(arguments: &[&str], directory: &Path) {
    let mut tar = command("tar");
    tar.args(arguments).current_dir(directory);
    run(tar).unwrap().succeeded().unwrap();
}

fn same(one: &Path, other: &Path) {
    let mut diff = command("diff");
    diff.arg("-r").arg(one).arg(other);
    run(diff).unwrap().succeeded().unwrap();
}

#[test]
fn archives_of_gnu_tar_in_each_format_are_unpacked() {
    if support::require::program("tar").is_none() {
        return;
    }
    let source = configuration();
    let archive = tempfile::tempdir().unwrap();
    let file = archive.path().join("a.tar.gz");
    for format in ["gnu", "pax"] {
        tar(&["--format", format, "-czf", file.to_str().unwrap(), "."], source.path());
        let bytes = std::fs::read(&file).unwrap();
        check(&bytes[..], &Limits::default()).unwrap();
        let into = tempfile::tempdir().unwrap();
        unpack(&bytes[..], into.path(), &Limits::default()).unwrap();
        same(source.path(), into.path());
    }
}

#[test]
fn our_archives_are_read_by_gnu_tar() {
    if support::require::program("tar").is_none() {
        return;
    }
    let source = configuration();
    let request = PackRequest { directory: source.path().to_path_buf(), root: None, limits: Limits::default() };
    let archive = tempfile::tempdir().unwrap();
    let file = archive.path().join("a.tar.gz");
    pack(&request, std::fs::File::create(&file).unwrap()).unwrap();
    let into = tempfile::tempdir().unwrap();
    tar(&["-xzf", file.to_str().unwrap()], into.path());
    same(source.path(), into.path());
}

#[test]
fn links_of_gnu_tar_are_refused_with_a_way_out() {
    if support::require::program("tar").is_none() {
        return;
    }
    let source = configuration();
    std::os::unix::fs::symlink("/etc/passwd", source.path().join("passwd")).unwrap();
    std::fs::hard_link(source.path().join("main.tf"), source.path().join("hard.tf")).unwrap();
    let archive = tempfile::tempdir().unwrap();
    let file = archive.path().join("a.tar.gz");
    for (names, kind) in [("passwd", "symbolic"), ("main.tf hard.tf", "hard")] {
        let mut arguments = vec!["-czf", file.to_str().unwrap()];
        arguments.extend(names.split(' '));
        tar(&arguments, source.path());
        let error = check(&std::fs::read(&file).unwrap()[..], &Limits::default()).unwrap_err();
        assert!(error.to_string().contains(kind) && error.hint().unwrap().contains("tar use `-h`"), "{error}");
    }
}

/// A file system of 64 KiB, unmounted when dropped.
struct Small(tempfile::TempDir);

impl Small {
    /// `None` after having said that it cannot be mounted here.
    fn mount() -> Option<Self> {
        if !support::require::root() {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let mut mount = command("mount");
        mount.args(["-t", "tmpfs", "-o", "size=64k", "none"]).arg(directory.path());
        if run(mount).is_ok_and(|done| done.code == Some(0)) {
            return Some(Self(directory));
        }
        support::require::missing("the right to mount a tmpfs");
        None
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let mut unmount = command("umount");
        unmount.arg(self.0.path());
        let _ = run(unmount);
    }
}

#[test]
fn a_full_disk_is_told_apart_from_other_failures() {
    let Some(small) = Small::mount() else { return };
    let source = configuration();
    let request = PackRequest { directory: source.path().to_path_buf(), root: None, limits: Limits::default() };
    let mut archive = Vec::new();
    pack(&request, &mut archive).unwrap();
    let error = unpack(&archive[..], small.0.path(), &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::NoSpace(_)), "{error}");
}
