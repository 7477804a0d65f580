//! Configuration files (HCL 2 and its JSON form): which ones count, and what they say that matters to us.
//!
//! Rule: files are read, never evaluated and never written. What this parser cannot read is an error, not an
//! absence: a backend that was not noticed would be replaced.

// Which files tofu reads.
pub mod files;

mod json;
mod native;

use std::io::Read;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Largest file in native syntax that is parsed, in bytes: parsing takes up to a hundred times as much memory.
const NATIVE_MAX: u64 = 1 << 20;
/// Largest file in JSON, which is what programs write.
const JSON_MAX: u64 = 8 << 20;

/// Why a configuration file was not understood.
#[derive(Debug, Error)]
pub enum LanguageError {
    /// The directory cannot be listed.
    #[error("the configuration in {} cannot be listed", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be read, or is not UTF-8.
    #[error("{} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The file is larger than any that a person wrote.
    #[error("{} is larger than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The limit for its syntax.
        limit: u64,
    },
    /// The file cannot be parsed.
    #[error("{} cannot be parsed: line {line}: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser expected; never a piece of the file.
        message: String,
    },
}

impl LanguageError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Parse { .. } => Some(
                "run `tofu validate` on the file; nigari must know the configuration's backend before it starts tofu"
                    .to_owned(),
            ),
            Self::TooLarge { .. } => {
                Some("split the file, or bring large values in by variables or `jsondecode(file(…))`".to_owned())
            }
            Self::Read { .. } | Self::List { .. } => None,
        }
    }
}

/// What one file says that matters to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Facts {
    /// `backend` and `cloud` blocks inside of `terraform` blocks, in order.
    pub state_blocks: Vec<StateBlock>,
    /// `module` blocks, in order.
    pub module_calls: Vec<ModuleCall>,
}

/// A block that says where the state is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StateBlock {
    /// `backend "KIND" { … }`
    Backend {
        /// Its label.
        kind: String,
        /// Whether anything stands inside.
        has_arguments: bool,
    },
    /// `cloud { … }`
    Cloud,
}

/// A `module` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleCall {
    /// Its label.
    pub name: String,
    /// Its `source`, if it has one (an override file need not).
    pub source: Option<Source>,
}

/// The value of a `source` argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A plain string, escapes resolved.
    Literal(String),
    /// Something that tofu must evaluate; its text.
    Expression(String),
}

/// Reads one file, in the syntax that its name says.
pub fn read(path: &Path) -> Result<Facts, LanguageError> {
    let failed = |source| LanguageError::Read { path: path.to_path_buf(), source };
    let limit = if files::is_json(path) { JSON_MAX } else { NATIVE_MAX };
    let mut text = String::new();
    // One byte more, so that a file that is too large is told from one that just fits.
    std::fs::File::open(path).and_then(|file| file.take(limit + 1).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 > limit {
        return Err(LanguageError::TooLarge { path: path.to_path_buf(), limit });
    }
    let facts = if files::is_json(path) { json::facts(&text) } else { native::facts(&text) };
    facts.map_err(|Broken { line, message }| LanguageError::Parse { path: path.to_path_buf(), line, message })
}

/// Lists a directory as tofu does.
pub fn list(directory: &Path) -> Result<files::Files, LanguageError> {
    files::list(directory).map_err(|source| LanguageError::List { path: directory.to_path_buf(), source })
}

/// Where a parser gave up and what it expected.
struct Broken {
    line: usize,
    message: String,
}

#[cfg(test)]
mod tests;
