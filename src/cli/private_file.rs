//! Files that only their owner may read.
//!
//! Rule: such a file is complete or not there: it is written beside its place with mode 0600 and then moved.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::error::CommandError;
use crate::secret::Secret;

/// Writes `content` and a line end to `path`, mode 0600, over what was there.
pub(super) fn write(path: &Path, content: &[u8]) -> Result<(), CommandError> {
    let failed = |source| CommandError::io(format!("cannot write {}", path.display()), source);
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::Builder::new().prefix(".nigari-").tempfile_in(directory).map_err(failed)?;
    file.write_all(content)
        .and_then(|()| file.write_all(b"\n"))
        .and_then(|()| file.as_file().sync_all())
        .map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
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

    use super::{make_directory, write, write_new};

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
}
