//! Who hears of the tokens that a credential is exchanged for.
//!
//! Rule: before a token is used for the first time, so that whatever may answer with it comes too late.

use std::sync::Arc;

use crate::secret::Secret;

/// Called with each new token; by default nobody.
#[derive(Clone, Default)]
pub struct NewTokens(Option<Arc<Listener>>);

type Listener = dyn Fn(&Secret) + Send + Sync;

impl NewTokens {
    /// Calls `hear` with each.
    pub fn to(hear: impl Fn(&Secret) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(hear)))
    }

    pub(super) fn tell(&self, token: &Secret) {
        if let Some(hear) = &self.0 {
            hear(token);
        }
    }
}

impl std::fmt::Debug for NewTokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewTokens({})", if self.0.is_some() { "heard" } else { "unheard" })
    }
}
