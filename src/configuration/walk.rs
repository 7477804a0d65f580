//! The walk over a hostile archive: every rule about entries is here, once, for the check and the extraction.
//!
//! Rule: the `tar` crate reads headers and nothing else; it never decides what is written and where.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType};

use super::archive_error::{ArchiveError, Reserved, shown};
use super::entry_path::EntryPath;
use super::extension::{self, Extension};
use super::stream::{Stream, Watch};
use super::tree::Tree;
use super::{Facts, Limits};
use crate::tofu::language::files::is_configuration_name;

/// Where checked entries go.
pub(super) trait Sink {
    /// A directory that was not there yet; its parent has been made before.
    fn directory(&mut self, path: &str) -> Result<(), ArchiveError>;

    /// A file; its parent has been made before. `content` gives exactly as many bytes as the header says, or an
    /// error that must be passed on as [`FileError::Content`].
    fn file(&mut self, path: &str, executable: bool, content: &mut dyn Read) -> Result<u64, FileError>;
}

/// What can go wrong with a file, by side.
pub(super) enum FileError {
    /// The archive.
    Content(io::Error),
    /// The disk.
    Write(ArchiveError),
}

/// Goes through the whole archive; every entry that is allowed goes to `sink`.
pub(super) fn walk(archive: impl Read, limits: &Limits, sink: &mut dyn Sink) -> Result<Facts, ArchiveError> {
    let stream = Stream::new(archive, limits);
    let watch = stream.watch();
    let mut archive = Archive::new(stream);
    let mut walk = Walk { limits, sink, watch, tree: Tree::default(), facts: Facts::default(), headers: 0 };
    let mut extension = Extension::default();
    for entry in archive.entries().map_err(ArchiveError::Damaged)?.raw(true) {
        let mut entry = entry.map_err(|error| walk.watch.explain(error))?;
        walk.count_header()?;
        match entry.header().entry_type() {
            EntryType::GNULongName => extension.long_name(&walk.content(&mut entry, extension::LONG_NAME_MAX)?)?,
            EntryType::XHeader => extension.local(&walk.content(&mut entry, extension::PAX_MAX)?)?,
            EntryType::XGlobalHeader => {
                if extension.is_pending() {
                    return Err(ArchiveError::Malformed("a global PAX header stands between a header and its entry"));
                }
                extension::check_global(&walk.content(&mut entry, extension::PAX_MAX)?)?;
            }
            kind => walk.entry(&mut entry, kind, std::mem::take(&mut extension))?,
        }
    }
    if extension.is_pending() {
        return Err(ArchiveError::Malformed("the last header describes no entry"));
    }
    let facts = walk.facts;
    archive.into_inner().finish()?;
    Ok(facts)
}

struct Walk<'a> {
    limits: &'a Limits,
    sink: &'a mut dyn Sink,
    watch: Watch,
    tree: Tree,
    facts: Facts,
    headers: u64,
}

impl Walk<'_> {
    /// Extension headers count too: a million of them is a million entries.
    fn count_header(&mut self) -> Result<(), ArchiveError> {
        self.headers += 1;
        if self.headers > self.limits.entries.saturating_mul(2) { Err(self.too_many()) } else { Ok(()) }
    }

    fn too_many(&self) -> ArchiveError {
        ArchiveError::TooLarge { limit: self.limits.entries, unit: "files and directories" }
    }

    fn content<R: Read>(&self, entry: &mut Entry<'_, R>, limit: u64) -> Result<Vec<u8>, ArchiveError> {
        if entry.size() > limit {
            return Err(ArchiveError::TooLarge { limit, unit: "bytes in one extension header" });
        }
        let mut content = Vec::new();
        let size = entry.size();
        entry.read_to_end(&mut content).map_err(|error| self.watch.explain(error))?;
        if content.len() as u64 == size { Ok(content) } else { Err(cut_off()) }
    }

    fn entry<R: Read>(
        &mut self,
        entry: &mut Entry<'_, R>,
        kind: EntryType,
        extension: Extension,
    ) -> Result<(), ArchiveError> {
        let raw = extension.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let directory = match kind {
            EntryType::Regular => false,
            EntryType::Directory => true,
            other => return Err(ArchiveError::Kind { name: shown(&raw), kind: kind_name(other) }),
        };
        if extension.size.is_some_and(|size| size != entry.size()) {
            return Err(ArchiveError::Malformed("an entry has two sizes"));
        }
        let Some(path) = EntryPath::new(&raw, self.limits.depth)? else {
            return if directory && entry.size() == 0 { Ok(()) } else { Err(ArchiveError::Malformed("`.` is a file")) };
        };
        self.facts.entries += self.make_parents(&path)?;
        if directory {
            if entry.size() != 0 {
                return Err(ArchiveError::Malformed("a directory has content"));
            }
            if self.tree.add_directory(path.as_str())? {
                self.facts.entries += 1;
                self.sink.directory(path.as_str())?;
            }
        } else {
            self.file(entry, &raw, &path)?;
        }
        if self.facts.entries > self.limits.entries { Err(self.too_many()) } else { Ok(()) }
    }

    fn make_parents(&mut self, path: &EntryPath) -> Result<u64, ArchiveError> {
        let mut made = 0;
        for ancestor in path.ancestors() {
            if self.tree.add_directory(ancestor)? {
                made += 1;
                self.sink.directory(ancestor)?;
            }
        }
        Ok(made)
    }

    fn file<R: Read>(&mut self, entry: &mut Entry<'_, R>, raw: &[u8], path: &EntryPath) -> Result<(), ArchiveError> {
        let size = entry.size();
        if raw.ends_with(b"/") {
            return Err(ArchiveError::Malformed("a file is named like a directory"));
        }
        if path.is_state() && size > 0 {
            return Err(ArchiveError::Reserved { name: shown(raw), reserved: Reserved::State });
        }
        if size > self.limits.file_bytes {
            return Err(ArchiveError::TooLarge { limit: self.limits.file_bytes, unit: "bytes in one file" });
        }
        self.facts.bytes += size;
        if self.facts.bytes > self.limits.total_bytes {
            return Err(ArchiveError::TooLarge { limit: self.limits.total_bytes, unit: "bytes, unpacked" });
        }
        self.tree.add_file(path.as_str(), path.parent(), path.name())?;
        self.facts.entries += 1;
        self.facts.has_configuration |= is_configuration_name(path.name());
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let taken = self.sink.file(path.as_str(), executable, entry).map_err(|error| match error {
            FileError::Content(error) => self.watch.explain(error),
            FileError::Write(error) => error,
        })?;
        if taken == size { Ok(()) } else { Err(cut_off()) }
    }
}

fn cut_off() -> ArchiveError {
    ArchiveError::Damaged(io::Error::from(io::ErrorKind::UnexpectedEof))
}

fn kind_name(kind: EntryType) -> &'static str {
    match kind {
        EntryType::Symlink | EntryType::GNULongLink => "a symbolic link",
        EntryType::Link => "a hard link",
        EntryType::Char | EntryType::Block => "a device",
        EntryType::Fifo => "a named pipe",
        EntryType::GNUSparse => "a sparse file",
        _ => "of an unknown kind",
    }
}
