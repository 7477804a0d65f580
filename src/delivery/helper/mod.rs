//! The delivery `helper`: tofu asks a program for the credential, and the program asks the agent.
//!
//! Rule: the secret stays in the agent's memory and goes over a socket to a process that tofu itself started as our
//! program; no file has it, so no expression of a configuration can read it. Programs that tofu starts for modules are
//! kept from its memory (`sandbox/nested.rs`); where the kernel cannot do that, every receipt says so.

mod answers;
mod asker;
mod exchange;
mod meant;
// The credential helper itself.
pub mod program;
mod socket;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use exchange::SOCKET_VARIABLE;
pub use meant::{Meant, meant, several};

use self::answers::Answers;
use self::socket::Socket;
use super::ca_bundle::Roots;
use super::described::Described;
use super::{Delivered, Delivery, DeliveryError, Pending, Surroundings, ca_bundle, docker_config, meaning};
use crate::protocol::agent::RegistryCredential;
use crate::sandbox::OwnProgram;
use crate::secret::Secret;
use crate::tofu::cli_configuration::KeptTokens;

/// What this binary is called when tofu asks it for a credential.
pub const PROGRAM: &str = "docker-credential-nigari";

/// In the run's directory in memory: what stands on `PATH`, and beside it the socket.
const DIRECTORY: &str = "helper";

/// The delivery, opened.
#[derive(Debug)]
pub(super) struct HelperDelivery {
    described: Described,
    desk: Option<Desk>,
    receipt: Pending,
}

impl HelperDelivery {
    pub(super) fn open(
        credentials: Vec<RegistryCredential>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Self, DeliveryError> {
        let receipt = Pending::begin("helper", meaning::of_helper(), &credentials, surroundings);
        let described = Described {
            docker_config: docker_config::with_helper(credentials.iter().map(|credential| &credential.address)),
            ca_bundle: ca_bundle::text(&credentials, Roots::of(surroundings.system_roots, surroundings.passed))?,
            operator: Arc::clone(surroundings.operator),
            tokens: KeptTokens::All,
        };
        Ok(Self { described, desk: Desk::open(credentials, surroundings), receipt })
    }
}

impl Delivery for HelperDelivery {
    fn deliver(self: Box<Self>, directory: &Path) -> Result<Delivered, DeliveryError> {
        let (files, variables) = self.described.below(directory)?;
        let mut delivered = Delivered::new(files, variables, self.receipt);
        if let Some(desk) = self.desk {
            desk.add(&mut delivered)?;
        }
        Ok(delivered)
    }

    fn receipt(&self) -> &Pending {
        &self.receipt
    }
}

/// Where the credential helper asks: the program, its place on `PATH`, and what is answered.
#[derive(Debug)]
pub(super) struct Desk {
    answers: Answers,
    program: Arc<OwnProgram>,
    directory: PathBuf,
}

impl Desk {
    /// For these credentials; without any there is nothing to ask.
    pub(super) fn open(credentials: Vec<RegistryCredential>, surroundings: &Surroundings<'_>) -> Option<Self> {
        (!credentials.is_empty()).then(|| Self {
            answers: Answers::new(credentials, surroundings.sources),
            program: Arc::clone(surroundings.program),
            directory: surroundings.private.join(DIRECTORY),
        })
    }

    /// Adds the program and its socket to what the step gets, and whoever answers there to what works beside it.
    pub(super) fn add(self, delivered: &mut Delivered) -> Result<(), DeliveryError> {
        let Self { answers, program, directory } = self;
        let file = program.path().to_owned();
        let socket = Socket::open(&directory, answers, program).map_err(DeliveryError::Socket)?;
        symlink(&file, directory.join(PROGRAM)).map_err(DeliveryError::Program)?;
        let at = directory.join(exchange::SOCKET).display().to_string();
        delivered.variables.push((SOCKET_VARIABLE.into(), Secret::new(at)));
        delivered.readable.push(file);
        delivered.programs.push(directory.clone());
        delivered.sockets.push(directory.join(exchange::SOCKET));
        delivered.beside.push(Box::new(socket));
        Ok(())
    }
}
