//! The walk over a hostile archive, without writing anything: what the server does with an upload.
//!
//! Rule: it refuses exactly what the extraction would refuse.

use std::io::{self, Read};

use super::walk::{FileError, Sink, walk};
use super::{ArchiveError, Facts, Limits};

/// Walks over the `.tar.gz` in `archive` and refuses everything that [`super::unpack`] would refuse.
pub fn check(archive: impl Read, limits: &Limits) -> Result<Facts, ArchiveError> {
    walk(archive, limits, &mut Nowhere)
}

struct Nowhere;

impl Sink for Nowhere {
    fn directory(&mut self, _path: &str) -> Result<(), ArchiveError> {
        Ok(())
    }

    fn file(&mut self, _path: &str, _executable: bool, content: &mut dyn Read) -> Result<u64, FileError> {
        io::copy(content, &mut io::sink()).map_err(FileError::Content)
    }
}
