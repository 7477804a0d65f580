//! Why an archive is refused.
//!
//! Rule: names out of an archive are shown quoted and cut, because they are the uploader's and end up in logs.

use thiserror::Error;

/// Why an archive is refused, or could not be read or written.
#[derive(Debug, Error)]
pub enum ArchiveError {
    /// Not a gzip stream, not a tar inside, or cut off.
    #[error("the archive cannot be read")]
    Damaged(#[source] std::io::Error),
    /// Its structure says two things at once, or nothing that can be relied on.
    #[error("the archive is malformed: {0}")]
    Malformed(&'static str),
    /// Something follows the archive's end.
    #[error("there is data after the archive's end")]
    TrailingData,
    /// A name that could lead out of the directory, or that no file of a configuration has.
    #[error("the name {name:?} is not allowed: {reason}")]
    Name {
        /// The name, cut.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// An entry that is neither a file nor a directory.
    #[error("{name:?} is {kind}; only regular files and directories are allowed")]
    Kind {
        /// The name, cut.
        name: String,
        /// What it is.
        kind: &'static str,
    },
    /// A file or directory that may not be uploaded.
    #[error("{name:?} may not be uploaded: {}", .reserved.reason())]
    Reserved {
        /// The name, cut.
        name: String,
        /// Which rule it breaks.
        reserved: Reserved,
    },
    /// The same name twice.
    #[error("{name:?} is in the archive twice")]
    Duplicate {
        /// The name, cut.
        name: String,
    },
    /// A limit was reached.
    #[error("the archive is too large: more than {limit} {unit}")]
    TooLarge {
        /// The limit.
        limit: u64,
        /// Of what.
        unit: &'static str,
    },
    /// It grows too much when it is unpacked.
    #[error("the archive unpacks to more than {ratio} times its size")]
    Ratio {
        /// The limit.
        ratio: u64,
    },
    /// The disk or the quota is full.
    #[error("there is no space left for the configuration")]
    NoSpace(#[source] std::io::Error),
    /// The system refused to write.
    #[error("{name:?} cannot be written")]
    Write {
        /// The name, cut; empty for the directory itself.
        name: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The directory to unpack into has something in it.
    #[error("the directory to unpack into is not empty")]
    NotEmpty,
}

/// Names that have a meaning to tofu, git or us, which an upload must not give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserved {
    /// `.git`, `.hg`, `.svn`, or the layout of a bare repository.
    Repository,
    /// `.terraform`.
    DataDirectory,
    /// `*.tfstate` with something in it.
    State,
    /// A name of ours.
    Ours,
}

impl Reserved {
    fn reason(self) -> &'static str {
        match self {
            Self::Repository => "git and its like would run programs that it names",
            Self::DataDirectory => "tofu makes this directory itself, in each run anew",
            Self::State => "a state beside the configuration would be ignored or lost",
            Self::Ours => "the name is kept for nigari's own files",
        }
    }
}

impl ArchiveError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Damaged(_) | Self::Malformed(_) | Self::TrailingData => {
                "upload with `nigari plan` or `nigari apply`, or make the archive with `tar --format=ustar -czf`"
            }
            Self::Kind { .. } => "`nigari plan` and `apply` pack links as what they point to; with tar use `-h`",
            Self::Name { .. } | Self::Duplicate { .. } => "pack the directory from inside: `tar -C DIR -czf FILE .`",
            Self::Reserved { reserved, .. } => reserved.hint(),
            Self::TooLarge { .. } | Self::Ratio { .. } => {
                "leave out what tofu does not need with a `.terraformignore` file"
            }
            Self::NoSpace(_) => "make space where the run directories are, or lower the number of runs at a time",
            Self::Write { .. } | Self::NotEmpty => return None,
        };
        Some(hint.to_owned())
    }

    /// A write error, with a full disk told apart.
    pub(super) fn from_write(name: &str, source: std::io::Error) -> Self {
        if matches!(source.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded) {
            return Self::NoSpace(source);
        }
        Self::Write { name: shown(name.as_bytes()), source }
    }
}

impl Reserved {
    fn hint(self) -> &'static str {
        match self {
            Self::Repository => "leave it out of the archive; `nigari plan` and `apply` do so by themselves",
            Self::DataDirectory => "leave `.terraform` out of the archive; keep `.terraform.lock.hcl`",
            Self::State => "leave it out of the archive and bring it in with `nigari state push`",
            Self::Ours => "give the file another name",
        }
    }
}

/// A name for a message: at most 200 bytes, broken UTF-8 replaced.
pub(super) fn shown(name: &[u8]) -> String {
    let cut = &name[..name.len().min(200)];
    String::from_utf8_lossy(cut).into_owned()
}
