//! tofu's CLI configuration (HCL 1): the operator's merged into ours.
//!
//! Rules: the operator's bytes are cut, never printed anew; every text we hand out has exactly one
//! `oci_default_credentials` block (two make tofu crash, none brings the host's own logins back); no registry
//! credential of ours is ever written into either text.

/// What tofu says about its CLI configuration on stderr.
pub mod problems;

use std::fmt;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::secret::Secret;

/// Why the operator's CLI configuration cannot be merged.
#[derive(Debug, Error)]
pub enum CliConfigurationError {
    /// A file that was named cannot be read.
    #[error("the CLI configuration {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// The operator's CLI configuration: its file, and the `*.tfrc` and `*.tfrc.json` files of its directory. May hold
/// registry tokens (`credentials` blocks), so its text is wiped when dropped and never shown.
pub struct OperatorConfiguration {
    files: Vec<(PathBuf, Secret)>,
}

impl OperatorConfiguration {
    /// No CLI configuration at all.
    pub fn none() -> Self {
        Self { files: Vec::new() }
    }

    /// Reads `file` and then the `*.tfrc`, `*.tfrc.json` files of `directory`, as tofu would without
    /// `TF_CLI_CONFIG_FILE`, and checks that they can be merged. A missing `directory` is empty; a missing `file` is an error.
    pub fn read(file: Option<&Path>, directory: Option<&Path>) -> Result<Self, CliConfigurationError> {
        todo!("{file:?} {directory:?}")
    }

    /// For the fetch step: everything but `oci_*` blocks and `credentials_helper`, plus one
    /// `oci_default_credentials` that names `docker_config` (absolute path) alone. `credentials` are kept, hence the [`Secret`].
    pub fn for_fetch(&self, docker_config: &Path) -> Result<Secret, CliConfigurationError> {
        todo!("{}", docker_config.display())
    }

    /// For `init`, `plan`, `apply`: without any secret unless `keep_credentials`; `docker_style_config_files = []`.
    pub fn for_steps(&self, keep_credentials: bool) -> Result<Secret, CliConfigurationError> {
        todo!("{keep_credentials}")
    }
}

impl fmt::Debug for OperatorConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|(path, _)| path)).finish()
    }
}
