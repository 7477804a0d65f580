//! Files that only their owner may read.
//!
//! Rule: such a file is complete or not there: it is written beside its place with mode 0600 and then moved.

use std::fs::{DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tempfile::NamedTempFile;

use super::error::CommandError;
use crate::secret::Secret;

/// Writes `content` and a line end to `path`, mode 0600, over what was there.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::io(format!("cannot write {}", path.display()), source);
    let mut file = beside(directory_of(path)).map_err(failed)?;
    fill(&mut file, content).map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file, mode 0600, that is moved to its place when it is complete.
fn beside(directory: &Path) -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".nigari-").tempfile_in(directory)
}

fn fill(file: &mut NamedTempFile, content: &[u8]) -> io::Result<()> {
    file.write_all(content)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()
}

/// Writes a secret to `path`, mode 0600, over what was there.
pub(super) fn write_secret(path: &Path, secret: &Secret) -> Result<(), CommandError> {
    write(path, secret.expose().as_bytes())
}

/// Writes a state or another download to a file that is not there yet, mode 0600.
pub(super) fn write_new(path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::io(format!("cannot write {}", path.display()), source);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(content).map_err(failed)
}

/// The place of a secret that is still to be made: it is free, and can be written to. Dropped, it leaves nothing.
#[derive(Debug)]
pub(super) struct Place<'p> {
    path: &'p Path,
    beside: NamedTempFile,
}

impl<'p> Place<'p> {
    /// Finds out whether a secret can be written to `path`, at which nothing is yet.
    pub(super) fn find(path: &'p Path) -> Result<Self, CommandError> {
        if path.symlink_metadata().is_ok() {
            return Err(already_there(path));
        }
        let directory = directory_of(path);
        let failed =
            |source| CommandError::named_directory(format!("cannot write into {}", directory.display()), source);
        Ok(Self { path, beside: beside(directory).map_err(failed)? })
    }

    /// Writes the secret, mode 0600; what has come to be there meanwhile stays as it is.
    pub(super) fn fill(self, secret: &Secret) -> Result<(), CommandError> {
        let Self { path, mut beside } = self;
        let failed = |source| CommandError::io(format!("cannot write {}", path.display()), source);
        fill(&mut beside, secret.expose().as_bytes()).map_err(failed)?;
        match beside.persist_noclobber(path) {
            Ok(_) => Ok(()),
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(already_there(path)),
            Err(error) => Err(failed(error.error)),
        }
    }
}

fn already_there(path: &Path) -> CommandError {
    let path = path.display();
    CommandError::refused(format!("{path} is there already"), format!("choose another file, or `rm {path}` first"))
}

/// Makes a directory and those above it; new ones get mode 0700.
pub(super) fn make_directory(path: &Path) -> Result<(), CommandError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| CommandError::io(format!("cannot make the directory {}", path.display()), source))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::{Place, make_directory, write, write_new};
    use crate::secret::Secret;

    #[test]
    fn only_the_owner_may_read_what_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let below = directory.path().join("a/b");
        make_directory(&below).unwrap();
        let path = below.join("token");
        std::fs::write(&path, "old").unwrap();
        write(&path, b"new").unwrap();
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new\n");
        assert_eq!((mode(&path), mode(&below)), (0o600, 0o700));
        assert!(write_new(&path, b"x").is_err(), "it is there already");
        assert_eq!(std::fs::read_dir(&below).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_place_is_free_and_what_comes_to_be_there_meanwhile_stays() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let place = Place::find(&path).unwrap();
        assert!(!path.exists(), "nothing is there before there is a secret");
        place.fill(&Secret::from("text")).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "text\n");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(Place::find(&path).unwrap_err().describe().contains("hint: "), "it is there already");
        let late = directory.path().join("late");
        let place = Place::find(&late).unwrap();
        std::fs::write(&late, "theirs").unwrap();
        assert!(place.fill(&Secret::from("text")).is_err());
        assert_eq!(std::fs::read_to_string(&late).unwrap(), "theirs");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 2, "nothing is left beside them");
    }
}
