//! The agent's own identity: one file, 0600, in the state directory.
//!
//! Rule: a join token is shown once; what came for it is kept before it is used.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::AgentError;
use crate::secret::Secret;

const NAME: &str = "identity";

/// What the agent can show to open a session.
#[derive(Debug)]
pub(super) enum Proof {
    Join(Secret),
    Identity(Secret),
}

impl Proof {
    pub(super) fn token(&self) -> &Secret {
        match self {
            Self::Join(token) | Self::Identity(token) => token,
        }
    }
}

/// The identity that is kept, or else the join token.
pub(super) fn load(state_directory: &Path, join_token_file: Option<&Path>) -> Result<Proof, AgentError> {
    let path = path(state_directory);
    match read(&path) {
        Ok(identity) => return Ok(Proof::Identity(identity)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(AgentError::Directory { what: "identity", path, source }),
    }
    let Some(file) = join_token_file else {
        return Err(AgentError::NoIdentity(state_directory.to_owned()));
    };
    let failed = |source| AgentError::Directory { what: "join_token_file", path: file.to_owned(), source };
    join_token(file).map_err(failed)
}

/// The join token alone: for an agent whose identity the server does not know any more. The identity stays until another
/// is kept in its place.
pub(super) fn join_token(file: &Path) -> io::Result<Proof> {
    read(file).map(Proof::Join)
}

/// Where it is kept.
pub(super) fn path(state_directory: &Path) -> PathBuf {
    state_directory.join(NAME)
}

/// Keeps a new identity: complete or not at all, also after a power loss.
pub(super) fn keep(state_directory: &Path, identity: &Secret) -> Result<(), AgentError> {
    let path = path(state_directory);
    let failed = |source| AgentError::Directory { what: "identity", path: path.clone(), source };
    let new = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(identity.expose().as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, &path)?;
        File::open(state_directory)?.sync_all()
    };
    write().map_err(failed)
}

fn read(path: &Path) -> io::Result<Secret> {
    let text = Secret::new(fs::read_to_string(path)?);
    let trimmed = Secret::from(text.expose().trim());
    if trimmed.is_empty() { Err(io::Error::new(io::ErrorKind::InvalidData, "the file is empty")) } else { Ok(trimmed) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::{Proof, keep, load};
    use crate::agent::AgentError;
    use crate::secret::Secret;

    #[test]
    fn a_kept_identity_wins_over_a_join_token_and_is_ours_alone() {
        let state = tempfile::tempdir().unwrap();
        let join = state.path().join("join.token");
        std::fs::write(&join, "ngr_join_1\n").unwrap();
        let Proof::Join(token) = load(state.path(), Some(&join)).unwrap() else { panic!() };
        assert_eq!(token.expose(), "ngr_join_1");
        keep(state.path(), &Secret::from("ngr_agent_1")).unwrap();
        let Proof::Identity(token) = load(state.path(), Some(&join)).unwrap() else { panic!() };
        assert_eq!(token.expose(), "ngr_agent_1");
        let mode = std::fs::metadata(state.path().join("identity")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn without_either_it_is_told_what_to_give() {
        let state = tempfile::tempdir().unwrap();
        let error = load(state.path(), None).unwrap_err();
        assert!(matches!(error, AgentError::NoIdentity(_)) && error.to_string().contains("join_token_file"));
        let missing = state.path().join("none");
        assert!(load(state.path(), Some(&missing)).unwrap_err().to_string().contains("join_token_file"));
        std::fs::write(&missing, " \n").unwrap();
        assert!(load(state.path(), Some(&missing)).is_err());
    }
}
