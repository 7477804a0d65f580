//! The redactor's needles of the tokens that the broker gets in exchange for credentials.
//!
//! Rule: each is looked for from before its first use. Bounded, because a configuration chooses how many there are and a
//! registry how long they are; what is not looked for is counted, and said.

use std::sync::{Arc, Mutex, PoisonError};

use crate::redact::{Needles, Redactions};
use crate::registry::upstream::NewTokens;
use crate::secret::Secret;

/// Bytes of all tokens that are looked for: about a hundred of the usual size.
const MOST_BYTES: usize = 128 * 1024;

/// Adds tokens to what must not be told; clones count together.
#[derive(Debug, Clone)]
pub(super) struct TokenNeedles {
    redactions: Redactions,
    count: Arc<Mutex<Count>>,
}

#[derive(Debug, Default)]
struct Count {
    bytes: usize,
    beyond: u64,
}

impl TokenNeedles {
    pub(super) fn of(redactions: &Redactions) -> Self {
        Self { redactions: redactions.clone(), count: Arc::default() }
    }

    /// For the broker.
    pub(super) fn listener(&self) -> NewTokens {
        let own = self.clone();
        NewTokens::to(move |token| own.add(token))
    }

    fn add(&self, token: &Secret) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        if count.bytes + token.len() > MOST_BYTES {
            count.beyond += 1;
            return;
        }
        count.bytes += token.len();
        drop(count);
        let mut needles = Needles::new();
        needles.token(token);
        self.redactions.add(needles);
    }

    /// What people should know at the end.
    pub(super) fn note(&self) -> Option<String> {
        let beyond = self.count.lock().unwrap_or_else(PoisonError::into_inner).beyond;
        let text = format!(
            "{beyond} tokens that registries gave for credentials were not looked for in the log: there were too many, or \
             they were too long"
        );
        (beyond > 0).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST_BYTES, TokenNeedles};
    use crate::redact::Redactions;

    #[test]
    fn tokens_are_looked_for_up_to_a_bound_and_the_others_counted() {
        let redactions = Redactions::new();
        let tokens = TokenNeedles::of(&redactions);
        tokens.add(&"token-0123456789".into());
        assert!(tokens.note().is_none());
        tokens.add(&"x".repeat(MOST_BYTES).into());
        tokens.clone().add(&"another-0123456789".into());
        assert_eq!(redactions.text("token-0123456789 another-0123456789"), "(redacted) (redacted)");
        assert!(tokens.note().unwrap().starts_with("1 tokens"));
    }
}
