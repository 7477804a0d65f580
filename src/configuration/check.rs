//! The walk over a hostile archive, without writing anything: what the server does with an upload.
//!
//! Rule: it refuses exactly what the extraction would refuse.

use std::io::{self, Read};

use super::walk::{FileError, Sink, walk};
use super::{ArchiveError, Facts, Limits};

/// Walks over the `.tar.gz` in `archive` and refuses everything that [`super::unpack()`] would refuse.
pub fn check(archive: impl Read, limits: &Limits) -> Result<Facts, ArchiveError> {
    check_for(archive, limits, "").map(|(facts, _)| facts)
}

/// [`check`], and whether `directory` (normal form; empty for the top) is in the archive.
///
/// # Errors
/// As [`check`].
pub fn check_for(archive: impl Read, limits: &Limits, directory: &str) -> Result<(Facts, bool), ArchiveError> {
    let mut looking = Looking { directory, found: directory.is_empty() };
    let facts = walk(archive, limits, &mut looking)?;
    Ok((facts, looking.found))
}

struct Looking<'a> {
    directory: &'a str,
    found: bool,
}

impl Sink for Looking<'_> {
    fn directory(&mut self, path: &str) -> Result<(), ArchiveError> {
        self.found |= path == self.directory;
        Ok(())
    }

    fn file(&mut self, _path: &str, _executable: bool, content: &mut dyn Read) -> Result<u64, FileError> {
        io::copy(content, &mut io::sink()).map_err(FileError::Content)
    }
}
