//! The delivery `file`: a Docker configuration file that tofu reads.
//!
//! Rule: a workspace or an agent asked for it and every integration in it permits it. What it means is in every
//! receipt: during the fetch step the author of the configuration could have read it (a module source may be an
//! expression over `file(…)`), and so could whatever else the agent's user ran at that time; nobody afterwards. The
//! directory's name is 128 bits that nobody can guess, and the fetch step has no `/proc` in which its own environment
//! could be read, where the kernel lets us keep it away: it is safe only as long as that name stays unknown.

use std::path::Path;
use std::sync::Arc;

use super::ca_bundle::Roots;
use super::described::Described;
use super::{Delivered, Delivery, DeliveryError, Pending, Surroundings, ca_bundle, docker_config};
use crate::protocol::agent::RegistryCredential;
use crate::sandbox::Sandbox;
use crate::tofu::cli_configuration::KeptTokens;

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

#[derive(Debug)]
pub(super) struct FileDelivery {
    described: Described,
    receipt: Pending,
}

impl FileDelivery {
    pub(super) fn open(
        credentials: &[RegistryCredential],
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, DeliveryError> {
        let described = Described {
            docker_config: docker_config::text(credentials)?,
            ca_bundle: ca_bundle::text(credentials, Roots::of(surroundings.system_roots, surroundings.passed))?,
            operator: Arc::clone(surroundings.operator),
            tokens: KeptTokens::All,
        };
        Ok(Self {
            described,
            receipt: Pending::begin("file", meaning(surroundings.sandbox), credentials, surroundings),
        })
    }
}

impl Delivery for FileDelivery {
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError> {
        let (files, variables) = self.described.below(directory)?;
        Ok(Delivered::new(files, variables, self.receipt))
    }

    fn receipt(&self) -> &Pending {
        &self.receipt
    }
}
