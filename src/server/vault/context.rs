//! What a ciphertext is bound to, in one canonical form.
//!
//! Rule: every part is written with its length, so that no two contexts have the same bytes; never reorder.

use std::fmt::Display;

use aws_lc_rs::digest;

use crate::protocol::registry_address::RegistryAddress;
use crate::server::policy::Protected;

/// Where a sealed thing belongs: kind of record, id, version, field, and for registry secrets where they may be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    protected: Protected,
    bytes: Vec<u8>,
}

impl Context {
    /// A thing that belongs to a record. `version` counts what the record has held in this field.
    pub fn new(protected: Protected, id: &impl Display, version: i64, field: &str) -> Self {
        let mut context = Self { protected, bytes: Vec::with_capacity(192) };
        context.part(protected.word().as_bytes());
        context.part(id.to_string().as_bytes());
        context.part(&version.to_be_bytes());
        context.part(field.as_bytes());
        context
    }

    /// Binds a registry secret to where it is sent, as whom, and whose certificates are trusted for it.
    #[must_use]
    pub fn sent_to(mut self, address: &RegistryAddress, username: &str, ca_pem: Option<&str>) -> Self {
        self.part(address.host().as_bytes());
        self.part(address.path().unwrap_or_default().as_bytes());
        self.part(username.as_bytes());
        match ca_pem {
            Some(pem) => self.part(digest::digest(&digest::SHA256, pem.as_bytes()).as_ref()),
            None => self.part(b""),
        }
        self
    }

    /// Binds a registry secret to the one token service that it may be sent to, once there is one.
    #[must_use]
    pub fn held_to(mut self, token_service: Option<&str>) -> Self {
        if let Some(service) = token_service {
            self.part(service.as_bytes());
        }
        self
    }

    /// Binds to what it belongs to: the run of an artifact, the workspace of a state.
    #[must_use]
    pub fn within(mut self, owner: &impl Display) -> Self {
        self.part(owner.to_string().as_bytes());
        self
    }

    pub(super) fn check_value() -> Self {
        // No record of a person is called so; the kind only has to be one that never holds it.
        Self::new(Protected::RegistrySecret, &"check value", 0, "check value")
    }

    /// The kind of thing.
    pub fn protected(&self) -> Protected {
        self.protected
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn part(&mut self, part: &[u8]) {
        self.bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
        self.bytes.extend_from_slice(part);
    }
}
