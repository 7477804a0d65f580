//! Packs a directory for the upload.
//!
//! Rules: the same bytes for the same files, whenever and wherever; links are packed as what they point to and may not
//! point out of the directory; what the other side would refuse is refused here first, by the same code.

use std::fs::{File, Metadata};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

use super::Limits;
use super::archive_error::ArchiveError;
use super::entry_path::EntryPath;
use super::pack_error::PackError;
use super::selection::{self, Selected};
use super::tree::Tree;
use crate::tofu::{language, modules};

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
    let directory = resolve(&request.directory)?;
    let root = request.root.as_deref().map_or_else(|| Ok(directory.clone()), resolve)?;
    let working_directory = directory
        .strip_prefix(&root)
        .map_err(|_| PackError::NotBelow { directory: directory.clone(), root: root.clone() })?;
    if language::list(&directory).map_err(modules::ModulesError::from)?.is_empty() {
        return Err(PackError::NoConfiguration(directory));
    }
    modules::named(&root, working_directory)?;
    let working_directory = match working_directory.to_str() {
        Some("") => ".".to_owned(),
        Some(text) => text.to_owned(),
        None => return Err(PackError::Archive(not_utf8(working_directory))),
    };
    // A directory that is far too large is refused before minutes are spent on packing it.
    measure(&root, &request.limits)?;
    let limited = Limited { inner: out, left: request.limits.archive_bytes };
    let mut packer = Packer {
        builder: Builder::new(GzEncoder::new(limited, Compression::default())),
        limits: &request.limits,
        tree: Tree::default(),
        entries: 0,
        bytes: 0,
    };
    for selected in selection::select(&root) {
        packer.append(&selected?)?;
    }
    let (entries, bytes) = (packer.entries, packer.bytes);
    packer.finish()?;
    Ok(Packed { entries, bytes, working_directory, existing_state: existing_state(&directory) })
}

/// Looks at names and sizes alone.
fn measure(root: &Path, limits: &Limits) -> Result<(), PackError> {
    let (mut entries, mut bytes) = (0_u64, 0_u64);
    for selected in selection::select(root) {
        let selected = selected?;
        entries += 1;
        bytes += if selected.metadata.is_file() { selected.metadata.len() } else { 0 };
        if entries > limits.entries {
            return Err(too_large(limits.entries, "files and directories"));
        }
        if selected.metadata.is_file() && selected.metadata.len() > limits.file_bytes {
            return Err(PackError::FileTooLarge { path: selected.path, limit: limits.file_bytes });
        }
        if bytes > limits.total_bytes {
            return Err(too_large(limits.total_bytes, "bytes, unpacked"));
        }
    }
    Ok(())
}

fn resolve(path: &Path) -> Result<PathBuf, PackError> {
    let failed = |source| PackError::Read { path: path.to_path_buf(), source };
    let real = path.canonicalize().map_err(failed)?;
    if real.is_dir() { Ok(real) } else { Err(failed(io::Error::from(io::ErrorKind::NotADirectory))) }
}

/// The state that tofu has kept beside the configuration, if there is anything in it.
fn existing_state(directory: &Path) -> Option<PathBuf> {
    let path = directory.join("terraform.tfstate");
    path.metadata().is_ok_and(|metadata| metadata.len() > 0).then_some(path)
}

struct Packer<'a, W: Write> {
    builder: Builder<GzEncoder<Limited<W>>>,
    limits: &'a Limits,
    tree: Tree,
    entries: u64,
    bytes: u64,
}

impl<W: Write> Packer<'_, W> {
    fn append(&mut self, selected: &Selected) -> Result<(), PackError> {
        let Some(name) = EntryPath::new(selected.name.as_os_str().as_encoded_bytes(), self.limits.depth)? else {
            return Ok(());
        };
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(too_large(self.limits.entries, "files and directories"));
        }
        if selected.metadata.is_dir() {
            self.tree.add_directory(name.as_str())?;
            let header = &mut header(EntryType::Directory, 0o755, 0);
            let name = format!("{}/", name.as_str());
            return self.builder.append_data(header, name, io::empty()).map_err(|error| self.write_error(error));
        }
        if !selected.metadata.is_file() {
            return Err(PackError::Special(selected.path.clone()));
        }
        self.tree.add_file(name.as_str(), name.parent(), name.name())?;
        self.file(&selected.path, &name)
    }

    fn file(&mut self, path: &Path, name: &EntryPath) -> Result<(), PackError> {
        let failed = |source| PackError::Read { path: path.to_path_buf(), source };
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        let size = metadata.len();
        if size > self.limits.file_bytes {
            return Err(PackError::FileTooLarge { path: path.to_path_buf(), limit: self.limits.file_bytes });
        }
        self.bytes += size;
        if self.bytes > self.limits.total_bytes {
            return Err(too_large(self.limits.total_bytes, "bytes, unpacked"));
        }
        let mut content = Exactly { inner: file, left: size, failed: None };
        let header = &mut header(EntryType::Regular, if is_executable(&metadata) { 0o755 } else { 0o644 }, size);
        let appended = self.builder.append_data(header, name.as_str(), &mut content);
        match (content.failed, appended) {
            (Some(error), _) => Err(failed(error)),
            (None, appended) => appended.map_err(|error| self.write_error(error)),
        }
    }

    fn finish(self) -> Result<(), PackError> {
        let limit = self.limits.archive_bytes;
        let finished = self.builder.into_inner().and_then(GzEncoder::finish).and_then(|mut out| {
            out.flush()?;
            Ok(out.left)
        });
        finished.map(|_| ()).map_err(|error| write_error(error, limit))
    }

    fn write_error(&self, error: io::Error) -> PackError {
        write_error(error, self.limits.archive_bytes)
    }
}

fn write_error(error: io::Error, limit: u64) -> PackError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        too_large(limit, "bytes, packed")
    } else {
        PackError::Write(error)
    }
}

fn too_large(limit: u64, unit: &'static str) -> PackError {
    PackError::Archive(ArchiveError::TooLarge { limit, unit })
}

fn not_utf8(path: &Path) -> ArchiveError {
    ArchiveError::Name { name: path.display().to_string(), reason: "it is not UTF-8" }
}

/// Times and owners are left at zero: they would make equal directories different.
fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn is_executable(metadata: &Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o100 != 0
}

/// Gives exactly the bytes that the header promises; a file that changes while it is read is an error of its own.
struct Exactly<R> {
    inner: R,
    left: u64,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let read = match self.inner.read(&mut buffer[..most]) {
            Ok(0) if most > 0 => Err(io::Error::other("the file became shorter while it was packed")),
            other => other,
        };
        match read {
            Ok(read) => {
                self.left -= read as u64;
                Ok(read)
            }
            Err(error) => {
                let kind = error.kind();
                self.failed = Some(error);
                Err(io::Error::from(kind))
            }
        }
    }
}

/// Stops when the archive becomes too large.
struct Limited<W> {
    inner: W,
    left: u64,
}

impl<W: Write> Write for Limited<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or(io::Error::from(io::ErrorKind::FileTooLarge))?;
        self.inner.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests;
