//! The files that describe a delivery to tofu and other tools, and the variables that name them.
//!
//! Rule: the same names and variables whatever the way is; what differs is what the files say.

use std::path::Path;
use std::sync::Arc;

use super::{DeliveryError, ca_bundle, cli_config, docker_config};
use crate::sandbox::SecretFile;
use crate::secret::Secret;
use crate::tofu::cli_configuration::{KeptTokens, OperatorConfiguration};

/// What the launcher writes, and what the step's environment says of it.
type FilesAndVariables = (Vec<SecretFile>, Vec<(String, Secret)>);

/// What is to be written.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) docker_config: Secret,
    pub(super) ca_bundle: Option<String>,
    pub(super) operator: Arc<OperatorConfiguration>,
    /// Which of the operator's own tokens for module registries are in tofu's CLI configuration.
    pub(super) tokens: KeptTokens,
}

impl Described {
    /// The files, to be written below `directory`, and the variables.
    pub(super) fn below(self, directory: &Path) -> Result<FilesAndVariables, DeliveryError> {
        let docker_config = directory.join(docker_config::NAME);
        let mut variables = docker_config::variables(directory);
        variables.push(cli_config::variable(directory));
        let mut files = vec![
            cli_config::for_fetch(&self.operator, &docker_config, &self.tokens)?,
            SecretFile { path: docker_config::NAME.into(), content: self.docker_config },
        ];
        if let Some(bundle) = self.ca_bundle {
            variables.push(ca_bundle::variable(directory));
            files.push(SecretFile { path: ca_bundle::NAME.into(), content: Secret::new(bundle) });
        }
        Ok((files, variables))
    }
}
