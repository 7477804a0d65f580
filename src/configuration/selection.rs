//! Which files of a directory are packed.
//!
//! Rules: `.terraformignore` works as `.gitignore` does, in every directory, and nothing above the root counts;
//! repositories, tofu's own directory and every state stay behind whatever it says.

use std::fs::Metadata;
use std::io;
use std::path::{Path, PathBuf};

use ignore::{DirEntry, WalkBuilder};

use super::pack_error::PackError;

/// A file or directory to be packed.
#[derive(Debug)]
pub(super) struct Selected {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Its name in the archive: the path below the root.
    pub(super) name: PathBuf,
    /// Of the file itself; of the target for a link.
    pub(super) metadata: Metadata,
}

/// Goes through `root`, a path without links, in the order of names.
pub(super) fn select(root: &Path) -> impl Iterator<Item = Result<Selected, PackError>> + use<> {
    let walk = WalkBuilder::new(root)
        .standard_filters(false)
        .add_custom_ignore_filename(".terraformignore")
        .follow_links(true)
        .sort_by_file_name(std::ffi::OsStr::cmp)
        .filter_entry(|entry| entry.depth() == 0 || !is_left_behind(entry))
        .build();
    let root = root.to_path_buf();
    walk.filter(|entry| !entry.as_ref().is_ok_and(|entry| entry.depth() == 0)).map(move |entry| selected(&root, entry))
}

fn selected(root: &Path, entry: Result<DirEntry, ignore::Error>) -> Result<Selected, PackError> {
    let entry = entry.map_err(explain)?;
    if let Some(error) = entry.error() {
        return Err(PackError::Ignore(error.clone()));
    }
    let path = entry.path().to_path_buf();
    let failed = |source| PackError::Read { path: path.clone(), source };
    if entry.path_is_symlink() {
        let target = path.canonicalize().map_err(failed)?;
        if !target.starts_with(root) {
            return Err(PackError::LinkLeaves { link: path, target });
        }
    }
    let metadata = path.metadata().map_err(failed)?;
    let name =
        path.strip_prefix(root).map(Path::to_path_buf).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    Ok(Selected { path, name, metadata })
}

fn is_left_behind(entry: &DirEntry) -> bool {
    let name = entry.file_name().to_string_lossy().to_ascii_lowercase();
    matches!(name.as_str(), ".git" | ".hg" | ".svn" | ".terraform")
        || name.ends_with(".tfstate")
        || name.contains(".tfstate.")
}

/// What a walk's error is about: the path and the cause may be wrapped in each other in any order.
fn explain(error: ignore::Error) -> PackError {
    explain_at(PathBuf::new(), error)
}

/// The walk wraps what the system said in its own words; the path is ours to name.
fn read(path: PathBuf, error: &std::io::Error) -> PackError {
    let inner =
        error.get_ref().and_then(|inner| inner.source()).and_then(|inner| inner.downcast_ref::<std::io::Error>());
    let code = inner.unwrap_or(error).raw_os_error();
    let source = code.map_or_else(|| error.kind().into(), std::io::Error::from_raw_os_error);
    if source.kind() == std::io::ErrorKind::NotFound && path.is_symlink() {
        return PackError::LinkDangles(path);
    }
    PackError::Read { path, source }
}

fn explain_at(path: PathBuf, error: ignore::Error) -> PackError {
    match error {
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => explain_at(path, *err),
        ignore::Error::WithPath { path, err } => explain_at(path, *err),
        ignore::Error::Loop { child, .. } => PackError::LinkLoop(child),
        ignore::Error::Io(source) => read(path, &source),
        other => PackError::Ignore(other),
    }
}
