//! Which backend a configuration has, and the override file that makes it ours.
//!
//! Rule: nobody's state is replaced silently. Only a configuration without a backend, or with an empty `http {}`,
//! gets ours; `local` is refused; every other one is kept. What cannot be parsed stops the run before `init`, and
//! after `init` the backend that tofu really chose is compared with the expected one.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// The override file's name. Uploads may not contain it in any spelling.
pub const OVERRIDE_NAME: &str = "nigari_override.tofu.json";

/// Its name without an extension.
const OVERRIDE_BASE: &str = "nigari_override";

/// The override file's content: an `http` backend whose whole address comes from `TF_HTTP_*`.
pub const OVERRIDE_CONTENT: &str = "{\"terraform\":{\"backend\":{\"http\":{}}}}\n";

/// Why a configuration's backend cannot be used or known.
#[derive(Debug, Error)]
pub enum BackendError {
    /// Placeholder until the body follows.
    #[error("{0}")]
    Read(PathBuf),
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
    todo!("{}", directory.display())
}

/// Writes the override file into `directory`; only for [`Backend::Ours`].
pub fn write_override(directory: &Path) -> Result<(), BackendError> {
    todo!("{}", directory.display())
}

/// After `init`: fails if the backend that tofu wrote down (`DATA_DIRECTORY/terraform.tfstate`) is not `expected`.
pub fn check_chosen(data_directory: &Path, expected: &Backend) -> Result<(), BackendError> {
    todo!("{} {expected:?}", data_directory.display())
}

/// Whether a file of this name would pass for our override file, in any spelling.
pub fn is_override_name(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let base =
        [".tofu.json", ".tf.json", ".tofu", ".tf"].into_iter().find_map(|extension| lower.strip_suffix(extension));
    base == Some(OVERRIDE_BASE)
}
