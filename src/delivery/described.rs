//! The files that describe a delivery to tofu and other tools, and the variables that name them.
//!
//! Rule: the same names and variables whatever the way is; what differs is what the Docker file says.

use std::path::Path;
use std::sync::Arc;

use super::{DeliveryError, cli_config};
use crate::sandbox::SecretFile;
use crate::secret::Secret;
use crate::tofu::cli_configuration::OperatorConfiguration;

/// Relative to the secret directory; `DOCKER_CONFIG` names its parent.
pub(super) const DOCKER_CONFIG: &str = "docker/config.json";

/// Relative to the secret directory.
pub(super) const CA_BUNDLE: &str = "ca.pem";

/// What is to be written.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) docker_config: Secret,
    pub(super) ca_bundle: Option<String>,
    pub(super) operator: Arc<OperatorConfiguration>,
}

impl Described {
    /// The files, to be written below `directory`, and the variables.
    pub(super) fn below(self, directory: &Path) -> Result<(Vec<SecretFile>, Vec<(String, Secret)>), DeliveryError> {
        let docker_config = directory.join(DOCKER_CONFIG);
        let docker_directory = docker_config.parent().unwrap_or(directory);
        let mut variables = vec![
            cli_config::variable(directory),
            ("DOCKER_CONFIG".into(), text(docker_directory)),
            ("REGISTRY_AUTH_FILE".into(), text(&docker_config)),
            ("HELM_REGISTRY_CONFIG".into(), text(&docker_config)),
        ];
        let mut files = vec![
            cli_config::for_fetch(&self.operator, &docker_config)?,
            SecretFile { path: DOCKER_CONFIG.into(), content: self.docker_config },
        ];
        if let Some(bundle) = self.ca_bundle {
            variables.push(("SSL_CERT_FILE".into(), text(&directory.join(CA_BUNDLE))));
            files.push(SecretFile { path: CA_BUNDLE.into(), content: Secret::new(bundle) });
        }
        Ok((files, variables))
    }
}

/// A path as a variable's value; secret directories have names of ours, so nothing is lost.
pub(super) fn text(path: &Path) -> Secret {
    Secret::new(path.display().to_string())
}
