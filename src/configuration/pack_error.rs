//! Why a directory cannot be packed.
//!
//! Rule: each names the file or directory that it is about.

use std::path::PathBuf;

use thiserror::Error;

use super::archive_error::ArchiveError;
use crate::tofu::modules::ModulesError;

/// Why a directory cannot be packed.
#[derive(Debug, Error)]
pub enum PackError {
    /// The other side would refuse it.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A module source cannot work, or a file cannot be parsed.
    #[error(transparent)]
    Modules(#[from] ModulesError),
    /// A file or directory cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The directory with the configuration is not in the root.
    #[error("{} is not below {}", directory.display(), root.display())]
    NotBelow {
        /// The directory with the configuration.
        directory: PathBuf,
        /// The root.
        root: PathBuf,
    },
    /// There is nothing for tofu to read.
    #[error("there is no OpenTofu configuration in {}", .0.display())]
    NoConfiguration(PathBuf),
    /// A link that leads out of what is packed.
    #[error("the link {} leads out of the directory that is packed, to {}", link.display(), target.display())]
    LinkLeaves {
        /// The link.
        link: PathBuf,
        /// What it points to.
        target: PathBuf,
    },
    /// A link to nothing.
    #[error("the link {} points to nothing", .0.display())]
    LinkDangles(PathBuf),
    /// A link to a directory that it is in.
    #[error("the link {} leads back to a directory that it is in", .0.display())]
    LinkLoop(PathBuf),
    /// The ignore file cannot be used.
    #[error("an ignore file cannot be used")]
    Ignore(#[source] ignore::Error),
    /// A device, a pipe or a socket.
    #[error("{} is neither a file nor a directory", .0.display())]
    Special(PathBuf),
    /// A single file that is too large.
    #[error("{} is larger than {limit} bytes", path.display())]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit.
        limit: u64,
    },
    /// The archive cannot be written.
    #[error("the archive cannot be written")]
    Write(#[source] std::io::Error),
}

impl PackError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Archive(error) => return error.hint(),
            Self::Modules(error) => return error.hint(),
            Self::NotBelow { .. } => "`--root` names a directory above the configuration",
            Self::NoConfiguration(_) => "name the directory that has the `.tf` or `.tofu` files of the root module",
            Self::LinkLeaves { .. } => {
                "replace the link by what it points to, use `--root`, or leave it out with a `.terraformignore` file"
            }
            Self::LinkLoop(_) | Self::LinkDangles(_) | Self::Special(_) | Self::FileTooLarge { .. } => {
                "leave it out with a `.terraformignore` file"
            }
            Self::Ignore(_) => "the rules of `.terraformignore` are those of `.gitignore`",
            Self::Read { .. } | Self::Write(_) => return None,
        };
        Some(hint.to_owned())
    }
}
