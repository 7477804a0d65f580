//! The program that tofu starts as credential helper: this binary, as it runs.
//!
//! Rule: never another version than the agent. The file's path is used while it still names what runs; after an
//! upgrade the run gets a copy of its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// What this process runs.
const RUNNING: &str = "/proc/self/exe";

/// Where the program is, and which file that is.
#[derive(Debug)]
pub(super) struct OwnProgram {
    path: PathBuf,
    file: FileId,
}

/// A file, whatever it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file that a path leads to.
    pub(super) fn of(path: impl AsRef<Path>) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

impl OwnProgram {
    /// Finds it; a copy, if one is needed, is made in the run's directory and goes with it.
    pub(super) fn find(run_directory: &Path) -> io::Result<Self> {
        let running = FileId::of(RUNNING)?;
        let path = fs::read_link(RUNNING)?;
        match FileId::of(&path) {
            Ok(file) if file == running => Ok(Self { path, file }),
            Ok(_) | Err(_) => Self::copy(run_directory),
        }
    }

    fn copy(run_directory: &Path) -> io::Result<Self> {
        let path = run_directory.join(super::PROGRAM);
        let mut options = OpenOptions::new();
        let mut copy = options.write(true).create_new(true).mode(0o700).open(&path)?;
        io::copy(&mut File::open(RUNNING)?, &mut copy)?;
        drop(copy);
        Ok(Self { file: FileId::of(&path)?, path })
    }

    /// Its path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    pub(super) fn file(&self) -> FileId {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::{FileId, OwnProgram};

    #[test]
    fn what_runs_is_found_and_a_copy_is_another_file_with_the_same_bytes() {
        let directory = tempfile::tempdir().unwrap();
        let own = OwnProgram::find(directory.path()).unwrap();
        assert_eq!(own.file(), FileId::of("/proc/self/exe").unwrap());
        let copy = OwnProgram::copy(directory.path()).unwrap();
        assert_ne!(copy.file(), own.file());
        assert_eq!(std::fs::metadata(copy.path()).unwrap().len(), std::fs::metadata(own.path()).unwrap().len());
        assert!(OwnProgram::copy(directory.path()).is_err(), "nothing that is there is taken");
    }
}
