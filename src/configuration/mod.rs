//! The uploaded directory: pack, check, unpack.
//!
//! Rule: an archive is hostile until [`unpack()`] is through with it. The same walk serves the server's check at upload
//! and the agent's extraction, so that both refuse the same things. All functions are synchronous: call them from
//! a blocking thread.

mod archive_error;
mod check;
mod entry_path;
mod extension;
// Fed by fuzzers.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod pack;
mod pack_error;
mod selection;
mod stream;
mod tree;
mod unpack;
mod walk;

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

pub use archive_error::{ArchiveError, Reserved};
pub use check::{check, check_for};
pub use pack::{PackRequest, Packed, pack};
pub use pack_error::PackError;
pub use unpack::unpack;

/// How much an archive may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Files and directories.
    pub entries: u64,
    /// Bytes of all files together, unpacked.
    pub total_bytes: u64,
    /// Bytes of one file.
    pub file_bytes: u64,
    /// Bytes of the archive as it is sent.
    pub archive_bytes: u64,
    /// Unpacked bytes for one packed byte, beyond the first 16 MiB.
    pub ratio: u64,
    /// Directories inside each other.
    pub depth: u64,
}

impl Limits {
    /// These, and for the rest what no honest archive reaches.
    pub fn new(entries: u64, total_bytes: u64, archive_bytes: u64) -> Self {
        Self { entries, total_bytes, archive_bytes, ..Self::default() }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 100_000,
            total_bytes: 512 << 20,
            file_bytes: 128 << 20,
            archive_bytes: 128 << 20,
            ratio: 200,
            depth: 64,
        }
    }
}

/// What a checked archive holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Files and directories.
    pub entries: u64,
    /// Bytes of all files together.
    pub bytes: u64,
    /// Whether there is a file that tofu would read, anywhere.
    pub has_configuration: bool,
}
