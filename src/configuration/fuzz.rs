//! The walk over an archive, fed with anything.
//!
//! Rule: the check refuses what the extraction refuses and finds what that finds; what is written is in the directory,
//! is a file or a directory, and is no more than the limits allow.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::{ArchiveError, Facts, Limits, check, unpack};

const LIMITS: Limits =
    Limits { entries: 40, total_bytes: 64 << 10, file_bytes: 16 << 10, archive_bytes: 64 << 10, ratio: 200, depth: 8 };

/// First byte: the rest is a `.tar.gz` (odd), or a `.tar` that is packed here, because a changed packed one is seldom more
/// than a wrong sum.
pub(crate) fn archive(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let packed = if kind % 2 == 1 { rest.to_vec() } else { pack(rest) };
    let checked = check(packed.as_slice(), &LIMITS);
    let Ok(place) = tempfile::tempdir_in("/dev/shm") else { return };
    let into = place.path().join("into");
    if fs::create_dir(&into).is_err() {
        return;
    }
    let unpacked = unpack(packed.as_slice(), &into, &LIMITS);
    match (&checked, &unpacked) {
        (Ok(checked), Ok(unpacked)) => assert!(checked == unpacked, "check and extraction have found something else"),
        (Err(checked), Err(unpacked)) => {
            assert!(kind_of(checked) == kind_of(unpacked), "check and extraction refuse for another reason");
        }
        // Names that the file system does not take.
        (Ok(_), Err(ArchiveError::Write { .. })) => {}
        _ => unreachable!("check and extraction do not agree"),
    }
    let facts = walk(&into);
    assert!(facts.entries <= LIMITS.entries + 1 && facts.bytes <= LIMITS.total_bytes, "more than the limits allow");
    if let Ok(unpacked) = unpacked {
        assert!(facts.entries == unpacked.entries && facts.bytes == unpacked.bytes, "not what was told");
    }
    let beside = fs::read_dir(place.path()).map_or(0, Iterator::count);
    assert!(beside == 1, "something was written beside the directory");
}

fn kind_of(error: &ArchiveError) -> std::mem::Discriminant<ArchiveError> {
    std::mem::discriminant(error)
}

fn pack(tar: &[u8]) -> Vec<u8> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::none());
    // Into memory: neither can fail.
    let _ = packer.write_all(tar);
    packer.finish().unwrap_or_default()
}

/// What is there, which must be nothing but files and directories.
fn walk(directory: &Path) -> Facts {
    let mut facts = Facts::default();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        assert!(metadata.is_file() || metadata.is_dir(), "something else than a file or a directory");
        facts.entries += 1;
        if metadata.is_dir() {
            let below = walk(&entry.path());
            (facts.entries, facts.bytes) = (facts.entries + below.entries, facts.bytes + below.bytes);
        } else {
            facts.bytes += metadata.len();
        }
    }
    facts
}
