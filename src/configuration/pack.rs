//! Packs a directory for the upload.

use std::io::Write;
use std::path::PathBuf;

use thiserror::Error;

use super::Limits;

/// Why a directory cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// Placeholder until the body follows.
    #[error("{0}")]
    Placeholder(String),
}

impl PackError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// What to pack.
#[derive(Debug, Clone)]
pub struct PackRequest {
    /// The directory with the root module: tofu's working directory.
    pub directory: PathBuf,
    /// A directory above it to pack instead, when modules are referenced by `../`.
    pub root: Option<PathBuf>,
    /// What the archive may hold.
    pub limits: Limits,
}

/// What was packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packed {
    /// Files and directories.
    pub entries: u64,
    /// Bytes of all files, unpacked.
    pub bytes: u64,
    /// tofu's working directory inside the archive, `.` for its top.
    pub working_directory: String,
    /// A local state that stays behind: it is never packed, and the caller must speak about it.
    pub existing_state: Option<PathBuf>,
}

/// Writes a deterministic `.tar.gz` of `request` to `out`.
pub fn pack(request: &PackRequest, out: impl Write) -> Result<Packed, PackError> {
    let _ = out;
    todo!("{request:?}")
}
