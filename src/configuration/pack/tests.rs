//! Real directories, packed and unpacked again by the hostile walk.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::{PackError, PackRequest, Packed, pack};
use crate::configuration::{Limits, Reserved, archive_error::ArchiveError, unpack};
use crate::tofu::modules::ModulesError;

fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn request(directory: &Path) -> PackRequest {
    PackRequest { directory: directory.to_path_buf(), root: None, limits: Limits::default() }
}

/// Packs, unpacks, and lists what came out.
fn round_trip(request: &PackRequest) -> (Packed, Vec<String>, tempfile::TempDir) {
    let mut archive = Vec::new();
    let packed = pack(request, &mut archive).unwrap();
    let into = tempfile::tempdir().unwrap();
    let facts = unpack(&archive[..], into.path(), &Limits::default()).unwrap();
    assert_eq!((facts.entries, facts.bytes), (packed.entries, packed.bytes));
    let mut names: Vec<_> = ignore::WalkBuilder::new(into.path())
        .standard_filters(false)
        .build()
        .filter_map(|entry| entry.unwrap().path().strip_prefix(into.path()).unwrap().to_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
        .collect();
    names.sort();
    (packed, names, into)
}

fn refused(directory: &Path) -> PackError {
    let error = pack(&request(directory), &mut Vec::new()).unwrap_err();
    assert!(error.hint().is_some() || matches!(error, PackError::Read { .. }), "{error}");
    error
}

#[test]
fn what_tofu_does_not_need_stays_behind() {
    let source = directory(&[
        ("main.tf", "locals {}\n"),
        (".terraform.lock.hcl", "x"),
        (".terraform/providers/x", "x"),
        (".git/config", "x"),
        ("sub/.git", "gitdir: x"),
        ("terraform.tfstate", "{}"),
        ("terraform.tfstate.backup", "{}"),
        (".terraform.tfstate.lock.info", "{}"),
        ("terraform.tfstate.d/x/terraform.tfstate", "{}"),
        ("sub/keep.txt", "x"),
        ("sub/drop.log", "x"),
        ("secret/key", "x"),
        ("secret/public", "x"),
        (".terraformignore", "*.log\n/secret/*\n!/secret/public\n"),
        (".gitignore", "*\n"),
    ]);
    let (packed, names, _) = round_trip(&request(source.path()));
    assert_eq!(
        names,
        [
            ".gitignore",
            ".terraform.lock.hcl",
            ".terraformignore",
            "main.tf",
            "secret",
            "secret/public",
            "sub",
            "sub/keep.txt"
        ]
    );
    assert_eq!(packed.working_directory, ".");
    assert_eq!(packed.existing_state, Some(source.path().canonicalize().unwrap().join("terraform.tfstate")));
}

#[test]
fn an_empty_state_is_no_state() {
    let source = directory(&[("main.tf", ""), ("terraform.tfstate", "")]);
    assert_eq!(round_trip(&request(source.path())).0.existing_state, None);
}

#[test]
fn equal_directories_give_equal_bytes() {
    let files = [("main.tf", "locals {}\n"), ("b/x.txt", "1"), ("a/y.txt", "2"), ("a.txt", "3")];
    let bytes = |order: &[(&str, &str)]| {
        let source = directory(order);
        std::fs::set_permissions(source.path().join("main.tf"), std::fs::Permissions::from_mode(0o640)).unwrap();
        let mut archive = Vec::new();
        pack(&request(source.path()), &mut archive).unwrap();
        archive
    };
    let mut turned = files;
    turned.reverse();
    assert_eq!(bytes(&files), bytes(&turned));
}

#[test]
fn links_inside_are_packed_as_what_they_point_to() {
    let source = directory(&[("main.tf", ""), ("shared/a.tf", "locals {}\n"), ("run.sh", "#!/bin/sh\n")]);
    std::fs::set_permissions(source.path().join("run.sh"), std::fs::Permissions::from_mode(0o755)).unwrap();
    symlink("shared", source.path().join("linked")).unwrap();
    symlink(source.path().join("run.sh"), source.path().join("again.sh")).unwrap();
    let (_, names, into) = round_trip(&request(source.path()));
    assert_eq!(names, ["again.sh", "linked", "linked/a.tf", "main.tf", "run.sh", "shared", "shared/a.tf"]);
    let again = into.path().join("again.sh").symlink_metadata().unwrap();
    assert!(again.is_file() && again.permissions().mode() & 0o777 == 0o700);
    assert_eq!(std::fs::read(into.path().join("linked/a.tf")).unwrap(), b"locals {}\n");
}

#[test]
fn links_that_lead_out_nowhere_or_in_circles_are_named() {
    let outside = directory(&[("secret", "x")]);
    for (target, check) in [
        (
            outside.path().join("secret"),
            (|error| matches!(error, PackError::LinkLeaves { .. })) as fn(&PackError) -> bool,
        ),
        (outside.path().to_path_buf(), |error| matches!(error, PackError::LinkLeaves { .. })),
        (Path::new("..").to_path_buf(), |error| matches!(error, PackError::LinkLeaves { .. } | PackError::LinkLoop(_))),
        (Path::new(".").to_path_buf(), |error| matches!(error, PackError::LinkLoop(_))),
        (Path::new("gone").to_path_buf(), |error| matches!(error, PackError::LinkDangles(_))),
    ] {
        let source = directory(&[("main.tf", "")]);
        symlink(&target, source.path().join("mylink")).unwrap();
        let error = refused(source.path());
        assert!(check(&error) && error.to_string().contains("mylink"), "{}: {error}", target.display());
    }
}

#[test]
fn an_ignored_link_does_no_harm() {
    let source = directory(&[("main.tf", ""), (".terraformignore", "link\n")]);
    symlink("/etc", source.path().join("link")).unwrap();
    assert_eq!(round_trip(&request(source.path())).1, [".terraformignore", "main.tf"]);
}

#[test]
fn modules_above_the_directory_need_a_root() {
    let source = directory(&[
        ("live/prod/main.tf", "module \"net\" {\n  source = \"../../modules/net\"\n}\n"),
        ("modules/net/main.tf", ""),
    ]);
    let live = source.path().join("live/prod");
    let error = refused(&live);
    assert!(matches!(error, PackError::Modules(ModulesError::Leaves { .. })), "{error}");
    assert!(error.hint().unwrap().contains("--root"));
    let with_root = PackRequest { root: Some(source.path().to_path_buf()), ..request(&live) };
    let (packed, names, _) = round_trip(&with_root);
    assert_eq!(packed.working_directory, "live/prod");
    assert!(names.contains(&"modules/net/main.tf".to_owned()));
    let other_root = PackRequest { root: Some(source.path().join("modules")), ..request(&live) };
    assert!(matches!(pack(&other_root, &mut Vec::new()), Err(PackError::NotBelow { .. })));
}

#[test]
fn what_the_other_side_would_refuse_is_refused_here() {
    let ours = directory(&[("main.tf", ""), ("Nigari_override.tofu", "")]);
    let reserved = refused(ours.path());
    assert!(matches!(reserved, PackError::Archive(ArchiveError::Reserved { reserved: Reserved::Ours, .. })));
    let bare = directory(&[("main.tf", ""), ("b/HEAD", ""), ("b/objects/x", ""), ("b/refs/x", "")]);
    assert!(matches!(refused(bare.path()), PackError::Archive(ArchiveError::Reserved { .. })));
    let backslash = directory(&[("main.tf", ""), ("a\\b", "")]);
    assert!(matches!(refused(backslash.path()), PackError::Archive(ArchiveError::Name { .. })));
}

#[test]
fn directories_that_cannot_be_a_configuration_are_refused() {
    let empty = directory(&[("notes.md", "")]);
    assert!(matches!(refused(empty.path()), PackError::NoConfiguration(_)));
    assert!(matches!(refused(&empty.path().join("none")), PackError::Read { .. }));
    assert!(matches!(refused(&empty.path().join("notes.md")), PackError::Read { .. }));
    let broken = directory(&[("main.tf", "module {")]);
    assert!(matches!(refused(broken.path()), PackError::Modules(_)));
    let socket = directory(&[("main.tf", "")]);
    let _listener = std::os::unix::net::UnixListener::bind(socket.path().join("s")).unwrap();
    assert!(matches!(refused(socket.path()), PackError::Special(_)));
}

#[test]
fn a_link_to_nothing_is_named_and_its_error_said_once() {
    let source = directory(&[("main.tf", "")]);
    symlink("nowhere", source.path().join("link")).unwrap();
    let error = pack(&request(source.path()), &mut Vec::new()).unwrap_err();
    assert!(matches!(&error, PackError::LinkDangles(link) if link.ends_with("link")), "{error:?}");
    assert!(error.hint().is_some());
}

#[test]
fn a_directory_that_is_too_large_is_refused_before_anything_is_packed() {
    let source = directory(&[("main.tf", ""), ("z.bin", &"x".repeat(2000))]);
    for limits in [
        Limits { total_bytes: 1000, ..Limits::default() },
        Limits { file_bytes: 1000, ..Limits::default() },
        Limits { entries: 1, ..Limits::default() },
    ] {
        let mut archive = Vec::new();
        pack(&PackRequest { limits, ..request(source.path()) }, &mut archive).unwrap_err();
        assert!(archive.is_empty(), "{} bytes were written", archive.len());
    }
}

#[test]
fn each_limit_is_kept() {
    let source = directory(&[("main.tf", "# 12345\n"), ("b.txt", "12345678")]);
    let limits = Limits { entries: 2, total_bytes: 16, file_bytes: 8, ..Limits::default() };
    let with = |limits| pack(&PackRequest { limits, ..request(source.path()) }, &mut Vec::new());
    with(limits).unwrap();
    for limits in [
        Limits { entries: 1, ..limits },
        Limits { total_bytes: 15, ..limits },
        Limits { file_bytes: 7, ..limits },
        Limits { archive_bytes: 20, ..limits },
    ] {
        let error = with(limits).unwrap_err();
        assert!(
            matches!(error, PackError::Archive(ArchiveError::TooLarge { .. }) | PackError::FileTooLarge { .. }),
            "{limits:?}: {error}"
        );
    }
}
