//! Whose `credentials` blocks stay in a text.
//!
//! Rule: host by host, also where one block has several: a token that somebody else holds is in no file.

use super::item::Item;
use super::normal_host;

/// The hosts whose tokens tofu has to find itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeptTokens {
    /// Every block as it is.
    All,
    /// The blocks of these hosts, in their normal form.
    Of(Vec<String>),
}

impl KeptTokens {
    /// None at all.
    pub fn none() -> Self {
        Self::Of(Vec::new())
    }

    /// Whether something of a block, or of several in one, stays.
    pub(super) fn has_of(&self, item: &Item) -> bool {
        match (self, item.keys.get(1)) {
            (Self::All, _) => true,
            (Self::Of(_), Some(host)) => self.has(host),
            (Self::Of(_), None) => item.value.items().into_iter().any(|block| self.has(&block.keys[0])),
        }
    }

    /// Of an item that has several blocks those that stay; `None` where it stays as it is.
    pub(super) fn some_of<'i>(&self, item: &'i Item) -> Option<Vec<&'i Item>> {
        let has_several = *self != Self::All && item.keys.len() == 1;
        has_several.then(|| item.value.items().into_iter().filter(|block| self.has(&block.keys[0])).collect())
    }

    /// Whether the token of a host, as a file spells it, stays.
    pub(super) fn has(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Of(hosts) => normal_host(host).is_some_and(|host| hosts.contains(&host)),
        }
    }
}
