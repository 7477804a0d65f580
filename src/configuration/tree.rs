//! What an archive has named so far: finds doubled names and directories that git would take for a repository.
//!
//! Rule: a name is a file or a directory, once and for all.

use std::collections::HashMap;

use super::archive_error::{ArchiveError, Reserved, shown};

/// Names so far.
#[derive(Debug, Default)]
pub(super) struct Tree {
    kinds: HashMap<String, Kind>,
    /// What of a repository's layout each directory has; the top is the empty string.
    layouts: HashMap<String, u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    File,
    Directory,
}

const HEAD: u8 = 1;
const OBJECTS: u8 = 2;
const REFS: u8 = 4;
const COMMONDIR: u8 = 8;

impl Tree {
    /// Notes a directory; `true` if it is new. It may be named again, a file may not become one.
    pub(super) fn add_directory(&mut self, path: &str) -> Result<bool, ArchiveError> {
        match self.kinds.get(path) {
            Some(Kind::Directory) => return Ok(false),
            Some(Kind::File) => return Err(ArchiveError::Duplicate { name: shown(path.as_bytes()) }),
            None => {}
        }
        self.kinds.insert(path.to_owned(), Kind::Directory);
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.note_layout(parent, name)?;
        Ok(true)
    }

    /// Notes a file, which must be new.
    pub(super) fn add_file(&mut self, path: &str, parent: Option<&str>, name: &str) -> Result<(), ArchiveError> {
        if self.kinds.insert(path.to_owned(), Kind::File).is_some() {
            return Err(ArchiveError::Duplicate { name: shown(path.as_bytes()) });
        }
        self.note_layout(parent.unwrap_or_default(), name)
    }

    /// git takes a directory for a repository when it has `HEAD` with `objects` and `refs`, or with `commondir`, which
    /// says where those are (`is_git_directory` in its `setup.c`; it does not look at what kind of file they are).
    fn note_layout(&mut self, parent: &str, name: &str) -> Result<(), ArchiveError> {
        let bit = match name.to_ascii_lowercase().as_str() {
            "head" => HEAD,
            "objects" => OBJECTS,
            "refs" => REFS,
            "commondir" => COMMONDIR,
            _ => return Ok(()),
        };
        let layout = self.layouts.entry(parent.to_owned()).or_default();
        *layout |= bit;
        let repository = HEAD | OBJECTS | REFS;
        if *layout & repository == repository || *layout & (HEAD | COMMONDIR) == HEAD | COMMONDIR {
            let name = if parent.is_empty() { "." } else { parent };
            return Err(ArchiveError::Reserved { name: shown(name.as_bytes()), reserved: Reserved::Repository });
        }
        Ok(())
    }
}
