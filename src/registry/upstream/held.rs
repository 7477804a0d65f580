//! A credential in the broker's hands.
//!
//! Rule: it is held to one token service, and is shown to no other.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::protocol::agent::RegistryCredential;
use crate::registry::authorization::Authorization;
use crate::registry::pin::Pin;

/// A credential, ready to be shown.
#[derive(Debug)]
pub(super) struct Held {
    /// The integration's name.
    pub(super) name: String,
    /// The path that it is for; `None` for the whole host.
    pub(super) path: Option<String>,
    /// User and secret.
    basic: Authorization,
    was_shown: AtomicBool,
    /// The token service that it may be shown to.
    pub(super) pin: Pin,
}

impl Held {
    /// `None` when Basic cannot carry it.
    pub(super) fn of(credential: &RegistryCredential) -> Option<Self> {
        Some(Self {
            name: credential.name.clone(),
            path: credential.address.path().map(str::to_owned),
            basic: Authorization::basic(&credential.username, &credential.secret)?,
            was_shown: AtomicBool::new(false),
            pin: Pin::kept_as(credential.token_service.as_deref()),
        })
    }

    /// User and secret, for the one request that they go with next.
    pub(super) fn show(&self) -> &Authorization {
        self.was_shown.store(true, Ordering::Relaxed);
        &self.basic
    }

    /// Whether they were ever taken for a request.
    pub(super) fn was_shown(&self) -> bool {
        self.was_shown.load(Ordering::Relaxed)
    }

    /// Whether a repository is within its path: whole segments.
    pub(super) fn covers(&self, repository: &str) -> bool {
        self.path.as_deref().is_none_or(|path| {
            repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }

    /// Segments of its path.
    pub(super) fn depth(&self) -> usize {
        self.path.as_deref().map_or(0, |path| path.split('/').count())
    }
}
