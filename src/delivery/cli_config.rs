//! tofu's CLI configuration as files: with the delivery for the fetch step, without secrets for the steps after it.
//!
//! Rule: both are the operator's own, merged; neither lets the host's own registry logins back in.

use std::path::{Path, PathBuf};

use crate::sandbox::SecretFile;
use crate::secret::Secret;
use crate::tofu::cli_configuration::{CliConfigurationError, KeptTokens, OperatorConfiguration};

/// The file's name in its directory.
pub const NAME: &str = "tofu.tfrc";

/// The fetch step's file: registry credentials come from `docker_config` alone, and of the operator's own tokens it has
/// these.
pub(super) fn for_fetch(
    operator: &OperatorConfiguration,
    docker_config: &Path,
    tokens: &KeptTokens,
) -> Result<SecretFile, CliConfigurationError> {
    Ok(SecretFile { path: NAME.into(), content: operator.for_fetch_with(docker_config, tokens)? })
}

/// The file of `init`, `plan`, `show`, `apply`. Providers from an OCI mirror are in the directory `mirror`.
pub fn for_steps(
    operator: &OperatorConfiguration,
    keep_credentials: bool,
    mirror: &Path,
) -> Result<SecretFile, CliConfigurationError> {
    Ok(SecretFile { path: NAME.into(), content: operator.for_steps(keep_credentials, mirror)? })
}

/// The variable that names the file in `directory`, and its value.
pub fn named(directory: &Path) -> (&'static str, PathBuf) {
    ("TF_CLI_CONFIG_FILE", directory.join(NAME))
}

/// The same for a step's environment.
pub fn variable(directory: &Path) -> (String, Secret) {
    let (name, path) = named(directory);
    (name.to_owned(), Secret::new(path.display().to_string()))
}
