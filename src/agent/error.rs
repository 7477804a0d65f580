//! Why an agent ends.
//!
//! Rule: each variant is one exit code (`cli/exit.rs`); a failed run never ends an agent, a wipe that could not be
//! verified always does.

use std::path::PathBuf;

use super::operator::OperatorError;
use crate::client::{ClientError, InvalidServer};
use crate::sandbox::{OrphansError, SecretRootError, SweepError};
use crate::tofu::find::FindError;
use crate::tofu::version::VersionError;

/// What to do about a directory that could not be wiped.
pub(super) const REMOVE_BY_HAND: &str = "remove it by hand, then start the agent again";

/// Why an agent ends, other than because it was told to.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Exit 69: the server is out of reach at the start.
    #[error("the server cannot be reached")]
    Unavailable(#[source] Box<ClientError>),
    /// Exit 74: secrets may remain on this host.
    #[error("secrets may remain on this host: {0}")]
    SecretsRemain(String),
    /// Exit 74 as well, found at the start.
    #[error(transparent)]
    Sweep(#[from] SweepError),
    /// Exit 77: the server does not take this agent.
    #[error("the server refuses this agent")]
    Refused(#[source] Box<ClientError>),
    /// Exit 77: the server does not take the identity that was kept.
    #[error("the server refuses this agent's identity, {}: {said}", .path.display())]
    IdentityRefused {
        /// The file.
        path: PathBuf,
        /// What the server says.
        said: String,
    },
    /// Exit 77: another process has this agent's identity.
    #[error("another process has opened a session with this agent's identity, so this one ends")]
    Superseded,
    /// Exit 77: nothing to show to the server.
    #[error("the agent has no identity in {}, and no join token; hint: give `join_token_file`", .0.display())]
    NoIdentity(PathBuf),
    /// Exit 77: the agent of this host is another user's.
    #[error(
        "{} belongs to the user {owner}, as whom the agent of this host has run, and this is the user {}",
        path.display(),
        rustix::process::geteuid().as_raw()
    )]
    OtherUser {
        /// What that agent has written, or where it has put secrets.
        path: PathBuf,
        /// That user's number.
        owner: u32,
        /// That agent's state directory, where it is known.
        state_directory: Option<PathBuf>,
    },
    /// Exit 78: a file that the settings name cannot be read.
    #[error("{what} {} cannot be used", path.display())]
    Directory {
        /// Which setting.
        what: &'static str,
        /// Its value.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Exit 78: two agents with one identity end each other's sessions.
    #[error("another agent runs with the state directory {}; hint: give each agent its own (`state_dir`)", .0.display())]
    NotAlone(PathBuf),
    /// Exit 78: tofu's arguments must be text.
    #[error("the path {} is not UTF-8; hint: choose another run_root", .0.display())]
    NotUtf8(PathBuf),
    /// Exit 78: the server's address.
    #[error(transparent)]
    Server(#[from] InvalidServer),
    /// Exit 78: nowhere to put secrets.
    #[error(transparent)]
    SecretRoot(#[from] SecretRootError),
    /// Exit 78: no tofu.
    #[error(transparent)]
    Find(#[from] FindError),
    /// Exit 78: a tofu that may not hold a credential.
    #[error(transparent)]
    Version(#[from] VersionError),
    /// Exit 78: tofu cannot work with the operator's CLI configuration.
    #[error(transparent)]
    Operator(#[from] OperatorError),
    /// Exit 78: the sandbox that the settings want cannot be had.
    #[error("the sandbox `namespace` cannot be had: {0}")]
    Sandbox(String),
    /// Exit 78: the sandbox that can be had is left by a socket, and nobody has asked for it.
    #[error(
        "steps could run in the sandbox `process` alone ({reason}), and there every configuration could talk to {}, and with \
         it act outside of its step",
        listed(sockets)
    )]
    OpenSockets {
        /// Why `namespace` cannot be had.
        reason: String,
        /// What is in reach.
        sockets: Vec<PathBuf>,
    },
    /// Exit 1: the kernel refuses what an agent needs.
    #[error(transparent)]
    Orphans(#[from] OrphansError),
    /// Exit 1: no thread for the leases.
    #[error("no thread for the leases")]
    Thread(#[source] std::io::Error),
}

fn listed(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// The exit codes of agents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentExit {
    /// 1
    Failed,
    /// 69
    Unavailable,
    /// 74
    SecretsRemain,
    /// 77
    Refused,
    /// 78
    Settings,
}

impl AgentError {
    /// Which exit code it is.
    pub fn exit(&self) -> AgentExit {
        match self {
            Self::Unavailable(_) => AgentExit::Unavailable,
            Self::SecretsRemain(_) | Self::Sweep(_) => AgentExit::SecretsRemain,
            Self::Refused(_)
            | Self::IdentityRefused { .. }
            | Self::Superseded
            | Self::NoIdentity(_)
            | Self::OtherUser { .. } => AgentExit::Refused,
            Self::Directory { .. }
            | Self::NotAlone(_)
            | Self::NotUtf8(_)
            | Self::Server(_)
            | Self::SecretRoot(_)
            | Self::Find(_)
            | Self::Version(_)
            | Self::Operator(_)
            | Self::Sandbox(_)
            | Self::OpenSockets { .. } => AgentExit::Settings,
            Self::Orphans(_) | Self::Thread(_) => AgentExit::Failed,
        }
    }

    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unavailable(error) | Self::Refused(error) => error.hint().map(str::to_owned),
            Self::Find(error) => error.hint(),
            Self::Version(error) => error.hint(),
            Self::Operator(error) => error.hint(),
            Self::Sandbox(_) => {
                Some("`sandbox = \"process\"` does without namespaces, `auto` takes what can be had".into())
            }
            Self::OpenSockets { .. } => Some(
                "let the agent have namespaces (`nigari doctor` says how), or give it a user that may not open these, or \
                 accept it: `--sandbox process` (`sandbox = \"process\"`)"
                    .into(),
            ),
            Self::SecretsRemain(_) => Some(REMOVE_BY_HAND.into()),
            Self::OtherUser { owner, state_directory, .. } => {
                let (directory, where_it_is) = match state_directory {
                    Some(path) => (path.display().to_string(), ""),
                    None => ("DIR".to_owned(), ", where DIR is that agent's own: of the unit /var/lib/nigari-agent"),
                };
                Some(format!(
                    "run it as that user, who alone can see and sweep what its runs have left: `setpriv --reuid {owner} \
                     --clear-groups nigari agent sweep --state-dir {directory}`{where_it_is}"
                ))
            }
            Self::Directory { what: "state_dir", source, .. }
                if source.kind() == std::io::ErrorKind::PermissionDenied =>
            {
                Some("give a state directory of this user's own with `--state-dir`".into())
            }
            Self::IdentityRefused { path, .. } => Some(format!(
                "if the agent was removed, start it with a join token that is taken (`join_token_file`; `nigari token \
                 create NAME --kind join` makes one); if the server is another one, remove {} too",
                path.display()
            )),
            Self::Superseded => Some(
                "was the state directory copied? give each agent its own, and start the copy with a join token".into(),
            ),
            _ => None,
        }
    }
}
