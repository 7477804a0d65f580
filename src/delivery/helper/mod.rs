//! The delivery `helper`: tofu asks a program for the credential, and the program asks the agent.
//!
//! Rule: the secret stays in the agent's memory and goes over a socket to a process that tofu itself started as our
//! program; no file has it, so no expression of a configuration can read it. A program that tofu starts in the fetch
//! step could look into tofu's memory: every receipt says so.

mod answers;
mod asker;
mod exchange;
mod meant;
// The credential helper itself.
mod own_program;
pub mod program;
mod socket;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use exchange::SOCKET_VARIABLE;
pub use meant::{Meant, meant, several};
pub use own_program::remove_copy;

use self::answers::Answers;
use self::own_program::OwnProgram;
use self::socket::Socket;
use super::ca_bundle::Roots;
use super::described::Described;
use super::{Delivered, Delivery, DeliveryError, Pending, Surroundings, ca_bundle, docker_config};
use crate::protocol::agent::RegistryCredential;
use crate::secret::Secret;
use crate::tofu::cli_configuration::KeptTokens;

/// What this binary is called when tofu asks it for a credential.
pub const PROGRAM: &str = "docker-credential-nigari";

/// What it means, in a sentence for people.
pub(super) const MEANING: &str = "tofu asked the agent for each credential through a credential helper that answered \
                                  tofu alone, and no file held one: an expression of the configuration could not read \
                                  it, but a program that tofu itself started during the fetch step (git, ssh) could \
                                  have taken it out of tofu's memory";

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
        let receipt = Pending::begin("helper", MEANING, &credentials, surroundings);
        let described = Described {
            docker_config: docker_config::with_helper(credentials.iter().map(|credential| &credential.address)),
            ca_bundle: ca_bundle::text(&credentials, Roots::of(surroundings.system_roots, surroundings.passed))?,
            operator: Arc::clone(surroundings.operator),
            tokens: KeptTokens::All,
        };
        Ok(Self { described, desk: Desk::open(credentials, surroundings)?, receipt })
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
    program: OwnProgram,
    directory: PathBuf,
    search_path: String,
}

impl Desk {
    /// For these credentials; without any there is nothing to ask.
    pub(super) fn open(
        credentials: Vec<RegistryCredential>,
        surroundings: &Surroundings<'_>,
    ) -> Result<Option<Self>, DeliveryError> {
        if credentials.is_empty() {
            return Ok(None);
        }
        Ok(Some(Self {
            answers: Answers::new(credentials, surroundings.sources),
            program: OwnProgram::find(surroundings.run_directory).map_err(DeliveryError::Program)?,
            directory: surroundings.private.join(DIRECTORY),
            search_path: surroundings.search_path.to_owned(),
        }))
    }

    /// Adds the program and its socket to what the step gets, and whoever answers there to what works beside it.
    pub(super) fn add(self, delivered: &mut Delivered) -> Result<(), DeliveryError> {
        let Self { answers, program, directory, search_path } = self;
        let file = program.path().to_owned();
        let socket = Socket::open(&directory, answers, program).map_err(DeliveryError::Socket)?;
        symlink(&file, directory.join(PROGRAM)).map_err(DeliveryError::Program)?;
        let path = format!("{}:{search_path}", directory.display());
        delivered.variables.push(("PATH".into(), Secret::new(path)));
        let at = directory.join(exchange::SOCKET).display().to_string();
        delivered.variables.push((SOCKET_VARIABLE.into(), Secret::new(at)));
        delivered.readable.extend([directory.clone(), file]);
        delivered.sockets.push(directory.join(exchange::SOCKET));
        delivered.beside.push(Box::new(socket));
        Ok(())
    }
}
