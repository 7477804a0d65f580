//! The root key: 32 bytes, from where the operator says.
//!
//! Rule: a key file is made by the very first start alone. Afterwards a missing, readable-by-others or wrong key is a
//! reason not to start, never a reason to make another: everything sealed would be lost.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use rustix::fs::OFlags;
use zeroize::Zeroizing;

use crate::settings::server::KeySource;

const KEY_BYTES: usize = 32;
/// Longest text form: 64 digits and a line end.
const TEXT_BYTES: u64 = 66;
/// The name of the key file in the state directory.
const FILE_NAME: &str = "root.key";

/// Why there is no root key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A database is there, its key is not.
    #[error(
        "the root key {0} is missing but a database exists; hint: put the key back from its backup, without it what the \
         database keeps cannot be opened"
    )]
    Missing(PathBuf),
    /// The file cannot be read or made.
    #[error("cannot use the root key {path}; hint: it must be a regular file of ours, not a link")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: io::Error,
    },
    /// Not a regular file.
    #[error("the root key {0} is not a regular file; hint: give the path of the file itself")]
    NotAFile(PathBuf),
    /// Another user's.
    #[error("the root key {path} belongs to the user {owner}; hint: `chown` it to the user that the server runs as")]
    Owner {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Others can read it.
    #[error(
        "the root key {path} has mode {mode:04o}, so others can read it; hint: `chmod 0400`, and consider it known"
    )]
    Mode {
        /// Which.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a key.
    #[error(
        "the root key from {0} is not a key; hint: 32 bytes, raw or as 64 hexadecimal digits (`openssl rand -hex 32`)"
    )]
    Form(String),
    /// No randomness.
    #[error("cannot make a root key: no randomness")]
    Randomness,
}

/// The root of all keys; wiped when dropped.
pub struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(..)")
    }
}

impl RootKey {
    /// Reads the key, or makes it if it is to be in the state directory and `fresh` says that there is no database.
    ///
    /// # Errors
    /// [`KeyError`] with a hint.
    pub fn load(source: &KeySource, state_directory: &Path, fresh: bool) -> Result<Self, KeyError> {
        match source {
            KeySource::StateDirectory => {
                let path = state_directory.join(FILE_NAME);
                match path.symlink_metadata() {
                    Err(error) if error.kind() == io::ErrorKind::NotFound && fresh => Self::make(&path),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Err(KeyError::Missing(path)),
                    _ => read_file(&path, Guard::Own),
                }
            }
            KeySource::File(path) => read_file(path, Guard::Own),
            KeySource::Credential(path) => read_file(path, Guard::Systemd),
            KeySource::Environment(text) => {
                tracing::warn!("the root key comes from the environment, which every process of this user can read");
                parse(text.expose().as_bytes(), "the environment")
            }
        }
    }

    /// A fresh key that is kept nowhere: for tests.
    ///
    /// # Errors
    /// [`KeyError::Randomness`].
    pub fn generate() -> Result<Self, KeyError> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        rand::fill(key.as_mut_slice()).map_err(|_| KeyError::Randomness)?;
        Ok(Self(key))
    }

    fn make(path: &Path) -> Result<Self, KeyError> {
        let failed = |source| KeyError::File { path: path.to_owned(), source };
        let key = Self::generate()?;
        let text = Zeroizing::new(hex::encode(key.0.as_slice()) + "\n");
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        if let Some(directory) = path.parent() {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(failed)?;
        }
        Ok(key)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

/// Who keeps others away from the file.
#[derive(Clone, Copy, PartialEq)]
enum Guard {
    /// Its owner and mode.
    Own,
    /// systemd: owner is root or us, the group bits stand for an access list.
    Systemd,
}

fn read_file(path: &Path, guard: Guard) -> Result<RootKey, KeyError> {
    let failed = |source| KeyError::File { path: path.to_owned(), source };
    // Opened first and then looked at, so that what is checked is what is read.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits();
    let flags = i32::try_from(flags).map_err(|_| failed(io::ErrorKind::InvalidInput.into()))?;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    if !metadata.is_file() {
        return Err(KeyError::NotAFile(path.to_owned()));
    }
    let us = rustix::process::geteuid().as_raw();
    let owned = metadata.uid() == us || (guard == Guard::Systemd && metadata.uid() == 0);
    if !owned {
        return Err(KeyError::Owner { path: path.to_owned(), owner: metadata.uid() });
    }
    let mode = metadata.mode() & 0o7777;
    let refused = if guard == Guard::Own { 0o077 } else { 0o007 };
    if mode & refused != 0 {
        return Err(KeyError::Mode { path: path.to_owned(), mode });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(128));
    file.take(TEXT_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    parse(&bytes, &path.display().to_string())
}

fn parse(bytes: &[u8], from: &str) -> Result<RootKey, KeyError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() == KEY_BYTES {
        key.copy_from_slice(bytes);
        return Ok(RootKey(key));
    }
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    hex::decode_to_slice(text, key.as_mut_slice()).map_err(|_| KeyError::Form(from.to_owned()))?;
    Ok(RootKey(key))
}
