//! What every handler gets.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

use tokio_util::sync::CancellationToken;

use crate::clock::{BootInstant, Clock};
use crate::protocol::Timestamp;
use crate::server::presence::Presence;
use crate::server::queue::LeaseTerms;
use crate::server::store::{AnyConnection, Store, StoreError};
use crate::server::vault::Vault;
use crate::server::wake::Wake;
use crate::settings::server::ServerSettings;

/// The server's parts, shared by its requests.
#[derive(Debug, Clone)]
pub struct ServerState(Arc<Parts>);

/// The server's parts.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Encryption.
    pub vault: Vault,
    /// Wall time.
    pub clock: Clock,
    /// What the operator wrote.
    pub settings: ServerSettings,
    /// Who was heard of, when: in memory, written down now and then.
    pub presence: Presence,
    /// Long polls.
    pub wake: Wake,
    /// When the database last took a write that was made to see whether it does.
    pub wrote: Mutex<Option<BootInstant>>,
    /// Set when the server is to end: long polls answer at once.
    pub shutdown: CancellationToken,
}

impl ServerState {
    /// Shares the parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for ServerState {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Parts {
    /// How long leases last.
    pub fn lease_terms(&self) -> LeaseTerms {
        LeaseTerms::of(self.settings.lease)
    }

    /// Now, for leases: the same for every replica.
    ///
    /// # Errors
    /// When the database does not answer.
    pub async fn lease_time(&self, connection: &mut AnyConnection) -> Result<Timestamp, StoreError> {
        self.store.now(connection, &self.clock).await
    }
}
