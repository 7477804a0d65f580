//! Which backend a configuration has, and the override file that makes it ours.
//!
//! Rule: nobody's state is replaced silently. Only a configuration without a backend, or with an empty `http {}`,
//! gets ours; `local` is refused; every other one is kept. What cannot be parsed stops the run before `init`, and
//! after `init` the backend that tofu really chose is compared with the expected one.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use thiserror::Error;

use super::language::{self, LanguageError, StateBlock};
use super::record;

/// The override file's name. Uploads may not contain it in any spelling.
pub const OVERRIDE_NAME: &str = "nigari_override.tofu.json";

/// Its name without an extension.
const OVERRIDE_BASE: &str = "nigari_override";

/// The override file's content: an `http` backend whose every setting comes from `TF_HTTP_*`.
pub const OVERRIDE_CONTENT: &str = "{\"terraform\":{\"backend\":{\"http\":{}}}}\n";

/// What is written down for a `cloud` block.
const CLOUD: &str = "cloud";

/// Why a configuration's backend cannot be used or known.
#[derive(Debug, Error)]
pub enum BackendError {
    /// A file was not understood.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// A backend whose state would be wiped with the run directory.
    #[error("the configuration keeps its state in the backend {kind:?}, which would be wiped with the run ({})", file.display())]
    Lost {
        /// `local` or `inmem`.
        kind: String,
        /// Where it stands.
        file: PathBuf,
    },
    /// Two blocks in files that do not override each other.
    #[error("the configuration has more than one backend or cloud block ({})", file.display())]
    Several {
        /// Where the second one stands.
        file: PathBuf,
    },
    /// A file of ours is there already.
    #[error("the configuration has a file {}, a name that is kept for nigari", .0.display())]
    NameTaken(PathBuf),
    /// The override file cannot be written.
    #[error("the override file {} cannot be written", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What tofu wrote down cannot be read.
    #[error("the backend that tofu chose cannot be read from {}", path.display())]
    Chosen {
        /// The file.
        path: PathBuf,
        /// What the system or the parser said.
        #[source]
        source: std::io::Error,
    },
    /// Another backend than the expected one.
    #[error("tofu chose the backend {chosen}, but {expected} was expected; nothing was planned")]
    Other {
        /// What tofu wrote down.
        chosen: String,
        /// What was expected.
        expected: String,
    },
}

impl BackendError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Language(error) => return error.hint(),
            Self::Lost { .. } => "remove the backend block: nigari keeps the state itself; bring an existing state in \
                                  with `nigari state push`"
                .to_owned(),
            Self::Several { .. } => "leave one of them".to_owned(),
            Self::NameTaken(_) => "give the file another name".to_owned(),
            Self::Write { .. } | Self::Chosen { .. } => return None,
            Self::Other { .. } => "look for `*_override` files that name a backend".to_owned(),
        })
    }
}

/// What a configuration's backend is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Backend {
    /// The state is kept by nigari: write the override file and set `TF_HTTP_*` to the gateway.
    Ours,
    /// The configuration's own, by name (`s3`, `cloud`, …): no override, no `TF_HTTP_*`; run and receipt say so.
    Kept(String),
}

/// Reads the configuration in `directory` (tofu's working directory) and says which backend it has.
pub fn choose(directory: &Path) -> Result<Backend, BackendError> {
    let files = language::list(directory)?;
    if let Some(ours) = taken_name(directory)? {
        return Err(BackendError::NameTaken(ours));
    }
    let mut effective = None;
    for file in &files.primary {
        for block in language::read(file)?.state_blocks {
            if effective.replace((block, file)).is_some() {
                return Err(BackendError::Several { file: file.clone() });
            }
        }
    }
    for file in &files.overrides {
        let mut blocks = language::read(file)?.state_blocks.into_iter();
        if let Some(block) = blocks.next() {
            effective = Some((block, file));
        }
        if blocks.next().is_some() {
            return Err(BackendError::Several { file: file.clone() });
        }
    }
    let Some((block, file)) = effective else { return Ok(Backend::Ours) };
    match block {
        StateBlock::Cloud => Ok(Backend::Kept(CLOUD.to_owned())),
        StateBlock::Backend { kind, has_arguments: false } if kind == "http" => Ok(Backend::Ours),
        StateBlock::Backend { kind, .. } if matches!(kind.as_str(), "local" | "inmem") => {
            Err(BackendError::Lost { kind, file: file.clone() })
        }
        StateBlock::Backend { kind, .. } => Ok(Backend::Kept(kind)),
    }
}

/// Writes the override file into `directory`; only for [`Backend::Ours`]. An uploaded override that is read after
/// it can only hold the same empty `http` block, else [`choose`] had not said `Ours`.
pub fn write_override(directory: &Path) -> Result<(), BackendError> {
    let path = directory.join(OVERRIDE_NAME);
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(OVERRIDE_CONTENT.as_bytes()))
        .map_err(|source| BackendError::Write { path, source })
}

/// After `init`: fails if the backend that tofu wrote down in `DATA_DIRECTORY/terraform.tfstate` is not `expected`.
/// `data_directory` is `.terraform`, or what `TF_DATA_DIR` says.
pub fn check_chosen(data_directory: &Path, expected: &Backend) -> Result<(), BackendError> {
    let path = data_directory.join("terraform.tfstate");
    let chosen = record::read(&path).and_then(|bytes| bytes.as_deref().map_or(Ok(None), parse_record));
    let chosen = chosen.map_err(|source| BackendError::Chosen { path, source })?;
    let (expected, fits) = match expected {
        Backend::Ours => ("an `http` without arguments", chosen.as_ref().is_some_and(Chosen::is_ours)),
        Backend::Kept(kind) => (kind.as_str(), chosen.as_ref().is_some_and(|chosen| chosen.kind == *kind)),
    };
    if fits {
        return Ok(());
    }
    let chosen = chosen.map_or_else(|| "local".to_owned(), |chosen| chosen.describe());
    Err(BackendError::Other { chosen, expected: expected.to_owned() })
}

/// Whether a file of this name would pass for our override file, in any spelling.
pub fn is_override_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let base =
        [".tofu.json", ".tf.json", ".tofu", ".tf"].into_iter().find_map(|extension| lower.strip_suffix(extension));
    base == Some(OVERRIDE_BASE)
}

fn taken_name(directory: &Path) -> Result<Option<PathBuf>, LanguageError> {
    let failed = |source| LanguageError::List { path: directory.to_path_buf(), source };
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if entry.file_name().to_str().is_some_and(is_override_name) {
            return Ok(Some(entry.path()));
        }
    }
    Ok(None)
}

/// The parser's own text is left out of the error: it may quote a value.
fn parse_record(bytes: &[u8]) -> std::io::Result<Option<Chosen>> {
    let record: Record = serde_json::from_slice(bytes).map_err(|_| std::io::Error::from(ErrorKind::InvalidData))?;
    Ok(record.backend)
}

#[derive(Deserialize)]
struct Record {
    backend: Option<Chosen>,
}

#[derive(Deserialize)]
struct Chosen {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    config: serde_json::Map<String, serde_json::Value>,
}

impl Chosen {
    fn is_ours(&self) -> bool {
        self.kind == "http" && self.config.values().all(serde_json::Value::is_null)
    }

    fn describe(&self) -> String {
        let arguments = self.kind == "http" && !self.is_ours();
        if arguments { "http with arguments".to_owned() } else { self.kind.clone() }
    }
}

#[cfg(test)]
mod tests;
