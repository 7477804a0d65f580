//! The program that tofu starts as credential helper and in place of git and hg: this binary, as it runs.
//!
//! Rule: never another version than the agent. The file's path is used while it still names what runs; after an
//! upgrade the run gets a copy beside its own directory, where no step can write, and a copy that was changed all the
//! same is not the program any more.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What this process runs.
const RUNNING: &str = "/proc/self/exe";

/// What a run's copy is called, after the run.
const EXTENSION: &str = "helper";

/// Where the program is, and which file that is. A copy goes when this is dropped.
#[derive(Debug)]
pub struct OwnProgram {
    path: PathBuf,
    file: FileId,
    /// Held for its end.
    _copy: Option<Copied>,
}

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileId {
    device: u64,
    inode: u64,
    /// When content, mode or links last changed (`st_ctime`, which nobody can set), of a file that is ours to keep as it
    /// is: seconds and nanoseconds. An installed program's links change when it is replaced.
    changed: Option<(i64, i64)>,
}

impl FileId {
    /// The file that a path leads to.
    pub fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), changed: None })
    }

    /// The same, as long as nobody changes it.
    fn unchanged(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let changed = Some((metadata.ctime(), metadata.ctime_nsec()));
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), changed })
    }

    /// Whether a path leads to it, and it is as it was.
    pub fn is_at(self, path: impl AsRef<Path>) -> bool {
        let found = match self.changed {
            Some(_) => Self::unchanged(path.as_ref()),
            None => Self::of(path),
        };
        found.is_ok_and(|found| found == self)
    }
}

/// A copy that is to be removed.
#[derive(Debug)]
struct Copied(PathBuf);

impl Drop for Copied {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.0) {
            tracing::warn!(path = %self.0.display(), %error, "this program's copy for a run could not be removed");
        }
    }
}

impl OwnProgram {
    /// Finds it; a copy, if one is needed, is made beside the run's directory.
    pub fn find(run_directory: &Path) -> io::Result<Self> {
        let running = FileId::of(RUNNING)?;
        let path = fs::read_link(RUNNING)?;
        match FileId::of(&path) {
            Ok(file) if file == running => Ok(Self { path, file, _copy: None }),
            Ok(_) | Err(_) => Self::copy(run_directory),
        }
    }

    fn copy(run_directory: &Path) -> io::Result<Self> {
        let path = run_directory.with_extension(EXTENSION);
        // An agent that died may have left one.
        remove(&path)?;
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o500).open(&path)?;
        let copied = Copied(path.clone());
        io::copy(&mut File::open(RUNNING)?, &mut file)?;
        drop(file);
        Ok(Self { file: FileId::unchanged(&path)?, path, _copy: Some(copied) })
    }

    /// Any file in its place.
    #[cfg(test)]
    pub(crate) fn plain(path: PathBuf) -> Self {
        Self { path, file: FileId { device: 0, inode: 0, changed: None }, _copy: None }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    pub fn file(&self) -> FileId {
        self.file
    }
}

/// Removes the copy that an agent which died has left beside a run's directory, if there is one.
pub fn remove_copy(run_directory: &Path) -> io::Result<()> {
    remove(&run_directory.with_extension(EXTENSION))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::{FileId, OwnProgram, remove_copy};

    #[test]
    fn what_runs_is_found_and_a_copy_is_another_file_with_the_same_bytes() {
        let root = tempfile::tempdir().unwrap();
        let run = root.path().join("run-1");
        let own = OwnProgram::find(&run).unwrap();
        assert!(own.file().is_at("/proc/self/exe"));
        // One that was left is no obstacle.
        fs::write(root.path().join("run-1.helper"), "left").unwrap();
        let copy = OwnProgram::copy(&run).unwrap();
        let path = copy.path().to_owned();
        assert!(!path.starts_with(&run) && !copy.file().is_at("/proc/self/exe"));
        assert_eq!(fs::metadata(&path).unwrap().len(), fs::metadata(own.path()).unwrap().len());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o500);
        drop(copy);
        assert!(!path.exists());
        fs::write(&path, "left").unwrap();
        remove_copy(&run).unwrap();
        remove_copy(&run).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_copy_that_was_changed_is_not_the_program_any_more() {
        let root = tempfile::tempdir().unwrap();
        let copy = OwnProgram::copy(&root.path().join("run-1")).unwrap();
        assert!(copy.file().is_at(copy.path()));
        let modified = fs::metadata(copy.path()).unwrap().modified().unwrap();
        fs::set_permissions(copy.path(), fs::Permissions::from_mode(0o700)).unwrap();
        let mut file = fs::OpenOptions::new().write(true).open(copy.path()).unwrap();
        file.write_all(b"#!").unwrap();
        file.set_modified(modified).unwrap();
        drop(file);
        assert!(!copy.file().is_at(copy.path()));
        assert_eq!(FileId::of(copy.path()).unwrap().inode, copy.file().inode);
    }
}
