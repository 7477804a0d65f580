//! The walk over a hostile archive, without writing anything.

use std::io::Read;

use thiserror::Error;

use super::{Facts, Limits};

/// Why an archive is refused.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Placeholder until the body follows.
    #[error("{0}")]
    Placeholder(String),
}

impl ArchiveError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        None
    }
}

/// Walks over the `.tar.gz` in `archive` and refuses everything that [`super::unpack`] would refuse.
pub fn check(archive: impl Read, limits: &Limits) -> Result<Facts, ArchiveError> {
    let _ = archive;
    todo!("{limits:?}")
}
