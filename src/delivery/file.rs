//! The delivery `file`: a Docker configuration file that tofu reads.
//!
//! Rule: what it means is in every receipt: during the fetch step the author of the configuration could have read it
//! (a module source may be an expression over `file(…)`), and so could whatever else the agent's user ran at that
//! time, another run's expressions too; nobody afterwards.

use std::path::Path;
use std::sync::Arc;

use super::{Delivered, Delivery, DeliveryError, Pending, Surroundings, ca_bundle, cli_config, docker_config};
use crate::protocol::agent::RegistryCredential;
use crate::sandbox::{Sandbox, SecretFile};
use crate::secret::Secret;
use crate::tofu::cli_configuration::OperatorConfiguration;

/// What it means, in a sentence for people.
pub(super) fn meaning(sandbox: Sandbox) -> &'static str {
    match sandbox {
        Sandbox::Namespace => {
            "tofu read the credentials from a file that existed in this step's sandbox alone; during that step the \
             configuration and what it fetched could have read it too, and so could a process of the same user that is \
             in no sandbox, but no other run"
        }
        Sandbox::Process => {
            "tofu read the credentials from a file that existed during the fetch step alone; during that step the \
             configuration and what it fetched could have read it too, and so could any process and any expression of \
             another run under the same user, because the sandbox `process` keeps no files apart"
        }
    }
}

/// Relative to the secret directory; `DOCKER_CONFIG` names its parent.
const DOCKER_CONFIG: &str = "docker/config.json";

/// Relative to the secret directory.
const CA_BUNDLE: &str = "ca.pem";

pub(super) struct FileDelivery {
    docker_config: Secret,
    ca_bundle: Option<String>,
    operator: Arc<OperatorConfiguration>,
    receipt: Pending,
}

impl FileDelivery {
    pub(super) fn open(
        credentials: &[RegistryCredential],
        surroundings: Surroundings<'_>,
    ) -> Result<Self, DeliveryError> {
        let docker_config = docker_config::text(credentials)?;
        let ca_bundle = ca_bundle::text(credentials, surroundings.system_roots)?;
        let receipt = Pending {
            delivery: "file",
            meaning: meaning(surroundings.sandbox),
            hosts: credentials.iter().map(|credential| credential.address.to_string()).collect(),
            began_at: surroundings.clock.now(),
        };
        Ok(Self { docker_config, ca_bundle, operator: Arc::clone(surroundings.operator), receipt })
    }
}

impl Delivery for FileDelivery {
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError> {
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
        Ok(Delivered { files, variables, beside: None, receipt: self.receipt })
    }
}

/// A path as a variable's value; secret directories have names of ours, so nothing is lost.
fn text(path: &Path) -> Secret {
    Secret::new(path.display().to_string())
}
