//! Files that hold one secret: a token, a database URL.
//!
//! Rule: a secret that others can read is refused, not used with a warning. One line end at the end of the file does
//! not belong to the secret, unless the file itself is wanted. What the service manager passes as a credential is taken as it is.

use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::environment;
use crate::secret::Secret;

/// More than any secret that we take has; a file beyond it is a mistake.
const LIMIT: u64 = 256 * 1024;

/// Why a secret was not read from its file.
#[derive(Debug, Error)]
pub enum SecretFileError {
    /// Not there, or not for us.
    #[error("cannot read {}", .0.display())]
    Read(PathBuf, #[source] std::io::Error),
    /// Others on this host may read it.
    #[error("{} can be read or written by others than its owner (mode {mode:04o})", path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory, a device, …
    #[error("{} is not a regular file", .0.display())]
    NotAFile(PathBuf),
    /// Nothing in it.
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
    /// Too much in it, or not text.
    #[error("{} does not hold a secret: more than {LIMIT} bytes, or not UTF-8", .0.display())]
    NotASecret(PathBuf),
}

impl SecretFileError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Mode { path, .. } => Some(format!("chmod 600 {}", path.display())),
            Self::Read(..) | Self::NotAFile(_) | Self::NotASecret(_) => {
                Some("give the path of a file with the secret and nothing else".to_owned())
            }
            Self::Empty(_) => Some("write the secret into it; a line end after it is ignored".to_owned()),
        }
    }
}

/// Reads the secret in the file at `path`.
///
/// # Errors
/// When there is none, or when others than its owner may read or write it.
pub fn read(path: &Path) -> Result<Secret, SecretFileError> {
    unless_empty(path, without_line_end(text_of(path, true)?))
}

/// The same, byte for byte: a key or another file for a program that wants its last line end too.
///
/// # Errors
/// As [`read`].
pub fn read_whole(path: &Path) -> Result<Secret, SecretFileError> {
    unless_empty(path, Secret::new(text_of(path, true)?))
}

/// Reads a file that others may read too, byte for byte.
///
/// # Errors
/// As [`read`], but for its mode.
pub fn read_public(path: &Path) -> Result<Secret, SecretFileError> {
    unless_empty(path, Secret::new(text_of(path, false)?))
}

fn unless_empty(path: &Path, text: Secret) -> Result<Secret, SecretFileError> {
    if text.is_empty() { Err(SecretFileError::Empty(path.to_path_buf())) } else { Ok(text) }
}

fn text_of(path: &Path, is_private: bool) -> Result<String, SecretFileError> {
    let failed = |source| SecretFileError::Read(path.to_path_buf(), source);
    let file = std::fs::File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile(path.to_path_buf()));
    }
    let mode = metadata.mode() & 0o7777;
    let is_credential = environment::path("CREDENTIALS_DIRECTORY").is_some_and(|directory| path.starts_with(directory));
    if is_private && mode & 0o077 != 0 && !is_credential {
        return Err(SecretFileError::Mode { path: path.to_path_buf(), mode });
    }
    let mut text = String::new();
    file.take(LIMIT + 1).read_to_string(&mut text).map_err(|source| match source.kind() {
        std::io::ErrorKind::InvalidData => SecretFileError::NotASecret(path.to_path_buf()),
        _ => failed(source),
    })?;
    if text.len() as u64 > LIMIT { Err(SecretFileError::NotASecret(path.to_path_buf())) } else { Ok(text) }
}

/// Takes over `text` without one line end (`\n` or `\r\n`) at its end.
pub fn without_line_end(mut text: String) -> Secret {
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Secret::new(text)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::PathBuf;

    use super::{SecretFileError, read, read_public, read_whole};

    fn file(directory: &tempfile::TempDir, content: &[u8], mode: u32) -> PathBuf {
        let path = directory.path().join("secret");
        std::fs::write(&path, content).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    #[test]
    fn one_line_end_does_not_belong_to_the_secret() {
        let directory = tempfile::tempdir().unwrap();
        for (content, secret) in
            [("a b", "a b"), ("ab\n", "ab"), ("ab\r\n", "ab"), ("ab\n\n", "ab\n"), (" ab ", " ab ")]
        {
            let path = file(&directory, content.as_bytes(), 0o600);
            assert_eq!(read(&path).unwrap().expose(), secret);
            assert_eq!(read_whole(&path).unwrap().expose().as_bytes(), content.as_bytes());
        }
    }

    #[test]
    fn a_public_file_may_be_read_by_others_and_a_whole_secret_may_not() {
        let directory = tempfile::tempdir().unwrap();
        let path = file(&directory, b"x\n", 0o644);
        assert_eq!(read_public(&path).unwrap().expose(), "x\n");
        assert!(matches!(read_whole(&path), Err(SecretFileError::Mode { .. })));
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_command_that_mends_it() {
        let directory = tempfile::tempdir().unwrap();
        for mode in [0o644, 0o640, 0o604, 0o620] {
            let error = read(&file(&directory, b"secret", mode)).unwrap_err();
            assert!(matches!(error, SecretFileError::Mode { .. }), "{mode:o}: {error}");
            assert!(error.hint().unwrap().starts_with("chmod 600 /"));
        }
        for mode in [0o600, 0o400] {
            assert!(read(&file(&directory, b"secret", mode)).is_ok(), "{mode:o}");
            std::fs::remove_file(directory.path().join("secret")).unwrap();
        }
    }

    #[test]
    fn what_holds_no_secret_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(read(&directory.path().join("none")), Err(SecretFileError::Read(..))));
        assert!(matches!(read(directory.path()), Err(SecretFileError::NotAFile(_))));
        assert!(matches!(read(&file(&directory, b"", 0o600)), Err(SecretFileError::Empty(_))));
        assert!(matches!(read(&file(&directory, b"\n", 0o600)), Err(SecretFileError::Empty(_))));
        assert!(matches!(read(&file(&directory, b"\xff\xfe", 0o600)), Err(SecretFileError::NotASecret(_))));
        assert!(matches!(read(&file(&directory, &vec![b'a'; 300_000], 0o600)), Err(SecretFileError::NotASecret(_))));
    }
}
