//! The corpus of hostile archives: headers written by hand, each run through the check and through the extraction.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::walk::Sink as _;
use super::{ArchiveError, Facts, Limits, Reserved, check, unpack};

/// A tar header block; everything can be wrong but the checksum.
struct Header {
    name: Vec<u8>,
    kind: u8,
    size: u64,
    mode: &'static str,
    link: &'static str,
}

fn header(name: &str, kind: u8, size: u64) -> Header {
    Header { name: name.as_bytes().to_vec(), kind, size, mode: "0000644", link: "" }
}

impl Header {
    fn block(&self) -> Vec<u8> {
        let mut block = vec![0_u8; 512];
        block[..self.name.len()].copy_from_slice(&self.name);
        block[100..107].copy_from_slice(self.mode.as_bytes());
        block[124..135].copy_from_slice(format!("{:011o}", self.size).as_bytes());
        block[136..147].copy_from_slice(b"00000000000");
        block[148..156].fill(b' ');
        block[156] = self.kind;
        block[157..157 + self.link.len()].copy_from_slice(self.link.as_bytes());
        block[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        block
    }
}

#[derive(Default)]
struct Tar(Vec<u8>);

impl Tar {
    fn entry(mut self, header: &Header, content: &[u8]) -> Self {
        self.0.extend(header.block());
        self.0.extend(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    fn file(self, name: &str, content: &[u8]) -> Self {
        self.entry(&header(name, b'0', content.len() as u64), content)
    }

    fn directory(self, name: &str) -> Self {
        self.entry(&header(name, b'5', 0), b"")
    }

    fn link(self, kind: u8, target: &'static str) -> Self {
        self.entry(&Header { link: target, ..header("link", kind, 0) }, b"")
    }

    fn pax(self, records: &[(&str, &str)]) -> Self {
        let content: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.entry(&header("pax", b'x', content.len() as u64), content.as_bytes())
    }

    fn gz(mut self) -> Vec<u8> {
        self.0.resize(self.0.len() + 1024, 0);
        gzip(&self.0)
    }
}

fn record(key: &str, value: &str) -> String {
    let body = key.len() + value.len() + 3;
    let mut length = body + 1;
    while length != body + length.to_string().len() {
        length = body + length.to_string().len();
    }
    format!("{length} {key}={value}\n")
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Both walks; they must agree.
fn refuse_within(archive: &[u8], limits: &Limits) -> ArchiveError {
    let directory = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir_in(directory.path()).unwrap();
    let into = directory.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let unpacked = unpack(archive, &into, limits).unwrap_err();
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0, "something was written outside");
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "something was written outside");
    let checked = check(archive, limits).unwrap_err();
    assert_eq!(checked.to_string(), unpacked.to_string());
    checked
}

fn refuse(tar: Tar) -> ArchiveError {
    refuse_within(&tar.gz(), &Limits::default())
}

fn accept(tar: Tar) -> (tempfile::TempDir, Facts) {
    let archive = tar.gz();
    let into = tempfile::tempdir().unwrap();
    let facts = unpack(&archive[..], into.path(), &Limits::default()).unwrap();
    assert_eq!(check(&archive[..], &Limits::default()).unwrap(), facts);
    (into, facts)
}

fn mode(path: &Path) -> u32 {
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_ordinary_archive_comes_out_private() {
    let script = Header { mode: "0004755", ..header("bin/run.sh", b'0', 3) };
    let tar = Tar::default().directory("./").directory("./bin/").entry(&script, b"hi\n").file("./main.tf", b"# x\n");
    let (into, facts) = accept(tar.file("modules/net/main.tf", b""));
    assert_eq!(facts, Facts { entries: 6, bytes: 7, has_configuration: true });
    assert_eq!(std::fs::read(into.path().join("main.tf")).unwrap(), b"# x\n");
    assert_eq!(mode(&into.path().join("main.tf")), 0o600);
    assert_eq!(mode(&into.path().join("bin/run.sh")), 0o700);
    assert_eq!(mode(&into.path().join("modules/net")), 0o700);
}

#[test]
fn long_names_of_both_formats_are_understood() {
    let long = format!("{}/{}.tf", "d".repeat(120), "f".repeat(120));
    let gnu = Tar::default()
        .entry(&header("././@LongLink", b'L', long.len() as u64 + 1), format!("{long}\0").as_bytes())
        .file("cut", b"1");
    let pax = Tar::default().pax(&[("mtime", "1.5"), ("path", &long), ("size", "1")]).file("cut", b"1");
    for tar in [gnu, pax] {
        let (into, facts) = accept(tar);
        assert_eq!(facts.entries, 2);
        assert_eq!(std::fs::read(into.path().join(&long)).unwrap(), b"1");
    }
}

#[test]
fn an_empty_archive_and_a_comment_of_git_archive_are_fine() {
    let comment = record("comment", "0123456789012345678901234567890123456789");
    let tar = Tar::default().entry(&header("pax_global_header", b'g', comment.len() as u64), comment.as_bytes());
    assert_eq!(accept(tar.file("a.txt", b"")).1, Facts { entries: 1, bytes: 0, has_configuration: false });
    assert_eq!(accept(Tar::default()).1, Facts::default());
}

#[test]
fn links_devices_and_pipes_are_refused() {
    for (kind, target) in [
        (b'2', "/etc/passwd"),
        (b'2', "main.tf"),
        (b'1', "main.tf"),
        (b'3', ""),
        (b'4', ""),
        (b'6', ""),
        (b'7', ""),
        (b'S', ""),
        (b'V', ""),
        (b'K', ""),
    ] {
        let error = refuse(Tar::default().file("main.tf", b"").link(kind, target));
        assert!(matches!(error, ArchiveError::Kind { .. }), "{}: {error}", kind as char);
        assert!(error.hint().is_some());
    }
}

#[test]
fn a_link_and_then_a_file_through_it_writes_nothing_outside() {
    let error = refuse(Tar::default().link(b'2', "..").file("link/escaped", b"x"));
    assert!(matches!(error, ArchiveError::Kind { .. }));
}

#[test]
fn a_link_that_is_already_there_is_not_followed() {
    let outside = tempfile::tempdir().unwrap();
    let into = tempfile::tempdir().unwrap();
    let mut directory = super::unpack::Directory::open(into.path()).unwrap();
    std::fs::create_dir(into.path().join("real")).unwrap();
    std::os::unix::fs::symlink(outside.path(), into.path().join("a")).unwrap();
    assert!(directory.file("a/b", false, &mut &b"x"[..]).is_err());
    assert!(directory.directory("a/b").is_err());
    assert!(directory.file("a", false, &mut &b"x"[..]).is_err());
    for path in ["../b", "/b", "real/../../b", "real/..", "real/.", "real//b", ".", ""] {
        assert!(directory.file(path, false, &mut &b"x"[..]).is_err(), "{path}");
        assert!(directory.directory(path).is_err(), "{path}");
    }
    std::os::unix::fs::symlink("real", into.path().join("inner")).unwrap();
    assert!(directory.file("inner/b", false, &mut &b"x"[..]).is_err(), "not even one that stays inside");
    assert!(directory.directory("inner/b").is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn names_that_lead_out_are_refused_in_every_place_a_name_can_stand() {
    for name in ["../escaped", "/escaped", "a/../../escaped", "..", "a/..", "./../escaped", "a//b", "a\\..\\b"] {
        let long = format!("{name}\0");
        for tar in [
            Tar::default().file(name, b"x"),
            Tar::default().directory(name),
            Tar::default().pax(&[("path", name)]).file("ok", b"x"),
            Tar::default().entry(&header("././@LongLink", b'L', long.len() as u64), long.as_bytes()).file("ok", b"x"),
        ] {
            assert!(matches!(refuse(tar), ArchiveError::Name { .. }), "{name}");
        }
    }
    let mut not_text = header("x", b'0', 0);
    not_text.name = b"\xff\xfe.tf".to_vec();
    assert!(matches!(refuse(Tar::default().entry(&not_text, b"")), ArchiveError::Name { .. }));
    let nul = Tar::default().pax(&[("path", "main.tf\0../x")]).file("ok", b"x");
    assert!(matches!(refuse(nul), ArchiveError::Name { .. }));
    let inner_nul = Tar::default().entry(&header("././@LongLink", b'L', 4), b"a\0b\0").file("ok", b"x");
    assert!(matches!(refuse(inner_nul), ArchiveError::Name { .. }));
}

#[test]
fn reserved_files_are_refused_at_any_depth() {
    for (name, expected) in [
        (".git/config", Reserved::Repository),
        (".git", Reserved::Repository),
        ("modules/x/.git/HEAD", Reserved::Repository),
        (".terraform/modules/modules.json", Reserved::DataDirectory),
        ("nigari_override.tofu.json", Reserved::Ours),
        ("live/Nigari_Override.TF", Reserved::Ours),
        ("terraform.tfstate", Reserved::State),
        ("x/errored.TFSTATE", Reserved::State),
    ] {
        let Err(ArchiveError::Reserved { reserved, .. }) = Err::<(), _>(refuse(Tar::default().file(name, b"{}")))
        else {
            panic!("{name} is refused for another reason");
        };
        assert_eq!(reserved, expected, "{name}");
    }
    accept(Tar::default().file("terraform.tfstate", b"").file(".terraform.lock.hcl", b"x").file(".tofurc", b"x"));
}

#[test]
fn the_layout_of_a_bare_repository_is_refused_in_any_order_and_depth() {
    for (prefix, order) in [("", [0, 1, 2, 3]), ("deep/er/", [3, 2, 1, 0]), ("x/", [2, 0, 3, 1])] {
        let names = ["HEAD", "config", "objects/a", "refs/heads/main"];
        let tar = order.iter().fold(Tar::default(), |tar, index| tar.file(&format!("{prefix}{}", names[*index]), b"x"));
        assert!(matches!(refuse(tar), ArchiveError::Reserved { reserved: Reserved::Repository, .. }), "{prefix}");
    }
    let split = Tar::default().file("a/HEAD", b"ref: refs/heads/x").file("a/commondir", b"../b");
    assert!(matches!(refuse(split), ArchiveError::Reserved { reserved: Reserved::Repository, .. }));
    accept(Tar::default().file("a/HEAD", b"").file("b/objects", b"").file("b/refs", b"").file("config", b""));
}

#[test]
fn a_name_can_be_used_once() {
    for tar in [
        Tar::default().file("a", b"1").file("a", b"2"),
        Tar::default().file("a", b"1").file("./a", b"2"),
        Tar::default().file("a", b"1").file("a/b", b"2"),
        Tar::default().file("a/b", b"1").file("a", b"2"),
        Tar::default().file("a", b"1").directory("a"),
        Tar::default().directory("a").file("a", b"1"),
    ] {
        assert!(matches!(refuse(tar), ArchiveError::Duplicate { .. }));
    }
    assert_eq!(accept(Tar::default().directory("a").file("a/b", b"").directory("a/")).1.entries, 2);
}

#[test]
fn what_two_readers_would_read_differently_is_refused() {
    let long = b"b\0";
    for tar in [
        Tar::default().pax(&[("size", "1")]).file("a", &[b'x'; 600]),
        Tar::default().pax(&[("path", "a"), ("path", "b")]).file("a", b""),
        Tar::default().pax(&[("path", "a")]).entry(&header("l", b'L', 2), long).file("a", b""),
        Tar::default().pax(&[("comment", "1")]).pax(&[("comment", "2")]).file("a", b""),
        Tar::default().pax(&[("GNU.sparse.realsize", "9")]).file("a", b""),
        Tar::default().entry(&header("g", b'g', 9), b"9 path=b\n").file("a", b""),
        Tar::default().pax(&[("path", "b")]),
        Tar::default().pax(&[("path", "b")]).entry(&header("g", b'g', 0), b"").file("a", b""),
        Tar::default().entry(&header("p", b'x', 5), b"nope!").file("a", b""),
        Tar::default().entry(&header("dir/", b'5', 3), b"abc"),
        Tar::default().entry(&header("file/", b'0', 0), b""),
        Tar::default().entry(&header("./", b'0', 0), b""),
    ] {
        assert!(matches!(refuse(tar), ArchiveError::Malformed(_)));
    }
}

#[test]
fn damaged_archives_are_refused() {
    let good = Tar::default().file("main.tf", &[b'x'; 4000]).gz();
    let limits = Limits::default();
    for cut in [0, 1, 9, 20, good.len() / 2, good.len() - 9, good.len() - 1] {
        assert!(matches!(refuse_within(&good[..cut], &limits), ArchiveError::Damaged(_)), "{cut}");
    }
    assert!(matches!(refuse_within(b"no gzip at all", &limits), ArchiveError::Damaged(_)));
    assert!(matches!(refuse_within(&gzip(&[b'x'; 2000]), &limits), ArchiveError::Damaged(_)));
    let short = Tar::default().entry(&header("main.tf", b'0', 5000), b"short").0;
    assert!(matches!(refuse_within(&gzip(&short), &limits), ArchiveError::Damaged(_)));
    let mut wrong_sum = Tar::default().file("main.tf", b"x").0;
    wrong_sum[0] ^= 1;
    assert!(matches!(refuse_within(&gzip(&wrong_sum), &limits), ArchiveError::Damaged(_)));
}

#[test]
fn nothing_may_follow_the_end() {
    let limits = Limits::default();
    let mut second_archive = Tar::default().file("a", b"1").gz();
    second_archive.extend(Tar::default().file("../b", b"2").gz());
    assert!(matches!(refuse_within(&second_archive, &limits), ArchiveError::TrailingData));
    let mut behind_the_end = Tar::default().file("a", b"1").0;
    behind_the_end.resize(behind_the_end.len() + 1024, 0);
    behind_the_end.extend(Tar::default().file("../b", b"2").0);
    assert!(matches!(refuse_within(&gzip(&behind_the_end), &limits), ArchiveError::TrailingData));
}

/// An archive whose one file is all zeros, made as it is read.
fn zeros(claimed: u64, real: u64) -> impl Read {
    let head = header("zeros", b'0', claimed).block();
    let tar = std::io::Cursor::new(head).chain(std::io::repeat(0).take(real)).chain(std::io::repeat(0).take(1024));
    flate2::read::GzEncoder::new(tar, flate2::Compression::fast())
}

#[test]
fn a_gigabyte_of_zeros_is_refused_before_it_is_written() {
    let gigabyte = 1 << 30;
    let error = check(zeros(gigabyte, gigabyte), &Limits::default()).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { unit: "bytes in one file", .. }), "{error}");
    let generous = Limits { file_bytes: 1 << 40, total_bytes: 1 << 40, ..Limits::default() };
    let error = check(zeros(gigabyte, gigabyte), &generous).unwrap_err();
    assert!(matches!(error, ArchiveError::Ratio { .. }), "{error}");
    let padding = check(zeros(0, 64 << 20), &Limits::default()).unwrap_err();
    assert!(matches!(padding, ArchiveError::TrailingData | ArchiveError::Ratio { .. }), "{padding}");
}

#[test]
fn each_limit_is_kept() {
    let limits = Limits { entries: 3, total_bytes: 100, file_bytes: 60, archive_bytes: 4096, ratio: 200, depth: 3 };
    let fits = Tar::default().file("a", &[1; 60]).file("b", &[2; 40]).directory("c").gz();
    check(&fits[..], &limits).unwrap();
    for tar in [
        Tar::default().file("a", &[1; 61]),
        Tar::default().file("a", &[1; 60]).file("b", &[2; 41]),
        Tar::default().file("a", b"").file("b", b"").file("c", b"").file("d", b""),
        Tar::default().file("a/b/c", b"").file("d", b""),
        (0..9).fold(Tar::default(), |tar, _| tar.directory("./").entry(&header("g", b'g', 0), b"")),
        Tar::default().entry(&header("g", b'g', 70_000), &vec![b'x'; 70_000]).file("a", b""),
    ] {
        assert!(matches!(refuse_within(&tar.gz(), &limits), ArchiveError::TooLarge { .. }));
    }
    let deep = Tar::default().file("a/b/c/d", b"").gz();
    assert!(matches!(refuse_within(&deep, &limits), ArchiveError::Name { .. }));
    let noise: Vec<u8> = (0_u32..9000).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let large = Limits { total_bytes: 1 << 20, file_bytes: 1 << 20, ..limits };
    let error = refuse_within(&Tar::default().file("noise", &noise).gz(), &large);
    assert!(matches!(error, ArchiveError::TooLarge { unit: "bytes, packed", .. }), "{error}");
}

/// Bytes that are made as they are read.
struct Blocks<I>(I);

impl<I: Iterator<Item = u8>> Read for Blocks<I> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        Ok(buffer.iter_mut().zip(&mut self.0).map(|(to, from)| *to = from).count())
    }
}

#[test]
fn a_million_entries_are_refused() {
    let blocks = (0..1_000_000_u32).flat_map(|number| header(&format!("f{number}"), b'0', 0).block());
    let limits = Limits { entries: 1000, ..Limits::default() };
    let archive = flate2::read::GzEncoder::new(Blocks(blocks), flate2::Compression::fast());
    let error = check(archive, &limits).unwrap_err();
    assert!(matches!(error, ArchiveError::TooLarge { limit: 1000, unit: "files and directories" }), "{error}");
}

#[test]
fn a_directory_with_something_in_it_is_not_unpacked_into() {
    let into = tempfile::tempdir().unwrap();
    std::fs::write(into.path().join("old"), "").unwrap();
    let archive = Tar::default().file("a", b"").gz();
    assert!(matches!(unpack(&archive[..], into.path(), &Limits::default()), Err(ArchiveError::NotEmpty)));
    assert!(unpack(&archive[..], &into.path().join("none"), &Limits::default()).is_err());
}

#[test]
fn a_full_disk_is_told_apart() {
    let error = ArchiveError::from_write("a", std::io::Error::from_raw_os_error(28));
    assert!(matches!(error, ArchiveError::NoSpace(_)) && error.hint().is_some());
}

/// A tar with every kind of entry that is allowed, to be damaged.
fn varied() -> Vec<u8> {
    let long = format!("{}.tf", "f".repeat(120));
    Tar::default()
        .directory("./")
        .directory("modules/")
        .pax(&[("path", "modules/long.tf"), ("mtime", "1.5")])
        .file("cut", b"locals {}")
        .entry(&header("././@LongLink", b'L', long.len() as u64 + 1), format!("{long}\0").as_bytes())
        .file("cut", &[b'x'; 600])
        .file("main.tf", b"")
        .0
}

/// Makes the checksum of the header at `block` right again, so that damage gets past it.
fn mend(tar: &mut [u8], block: usize) {
    let header = &mut tar[block * 512..][..512];
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config::with_cases(support::loops::times(256)))]

    #[test]
    fn a_damaged_archive_is_read_alike_by_both_walks_and_stays_inside(
        damage in proptest::collection::vec((0..8_usize, 0..512_usize, proptest::num::u8::ANY), 1..6),
    ) {
        let mut tar = varied();
        for (block, offset, byte) in &damage {
            tar[block * 512 + offset] = *byte;
        }
        for (block, _, _) in &damage {
            mend(&mut tar, *block);
        }
        tar.resize(tar.len() + 1024, 0);
        let archive = gzip(&tar);
        let directory = tempfile::tempdir().unwrap();
        let into = directory.path().join("into");
        std::fs::create_dir(&into).unwrap();
        let unpacked = unpack(&archive[..], &into, &Limits::default()).map_err(|error| error.to_string());
        let checked = check(&archive[..], &Limits::default()).map_err(|error| error.to_string());
        proptest::prop_assert_eq!(unpacked, checked);
        proptest::prop_assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        for entry in ignore::WalkBuilder::new(&into).standard_filters(false).build() {
            let kind = entry.unwrap().file_type().unwrap();
            proptest::prop_assert!(kind.is_file() || kind.is_dir());
        }
    }
}
