//! Tokens: `ngr_<kind>_<id>_<secret><checksum>`.
//!
//! Rule: only an HMAC of the secret part is kept, under a key of the vault, and it is compared in constant time. The
//! secret has 256 bits of randomness, so no slow hash is needed. The checksum lets scanners and typing errors be told
//! from wrong tokens without asking the database.

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::{Vault, VaultError};
use crate::protocol::api::TokenKind;
use crate::protocol::id::{AgentId, PoolId, TokenId};
use crate::secret::Secret;

const SECRET_BYTES: usize = 32;
const SECRET_DIGITS: usize = 2 * SECRET_BYTES;
const CHECKSUM_DIGITS: usize = 8;

/// What a token is good for: in its digest with its secret, so that nobody who can write the database can change it.
/// Uses and revocation change with time and cannot be in it.
#[derive(Debug, Clone, Copy)]
pub struct TokenTerms<'a> {
    /// What sort of token it is.
    pub kind: TokenKind,
    /// For people; audit records name the actor so.
    pub name: &'a str,
    /// User tokens: the role's word; else empty.
    pub role: &'a str,
    /// When it ceases to work.
    pub expires_at: Option<i64>,
    /// Join, agent and session tokens: the pool.
    pub pool: Option<PoolId>,
    /// Agent and session tokens: the agent.
    pub agent: Option<AgentId>,
}

/// A token just made: text for its holder, digest for the store.
#[derive(Debug)]
pub struct IssuedToken {
    /// Its id.
    pub id: TokenId,
    /// What its holder gets; not kept.
    pub text: Secret,
    /// What is kept.
    pub digest: Vec<u8>,
}

/// A token that somebody shows: well-formed, not yet believed.
#[derive(Debug)]
pub struct PresentedToken {
    /// The kind that it says.
    pub kind: TokenKind,
    /// The id that it says.
    pub id: TokenId,
    secret: Secret,
}

impl PresentedToken {
    /// Reads a token's text. `None` when it is not one, or a character of it is wrong.
    pub fn parse(text: &str) -> Option<Self> {
        let (checked, checksum) = text.split_at_checked(text.len().checked_sub(CHECKSUM_DIGITS)?)?;
        if checksum != checksum_of(checked) {
            return None;
        }
        let mut parts = checked.strip_prefix("ngr_")?.split('_');
        let (kind, id, secret) = (parts.next()?, parts.next()?, parts.next()?);
        let well_formed = parts.next().is_none() && secret.len() == SECRET_DIGITS;
        let kind = TokenKind::ALL.iter().copied().find(|known| known.word() == kind)?;
        let id = format!("tok-{id}").parse().ok()?;
        well_formed.then(|| Self { kind, id, secret: Secret::from(secret) })
    }
}

impl Vault {
    /// Makes a token.
    ///
    /// # Errors
    /// [`VaultError::Library`] when there is no randomness.
    pub fn issue_token(&self, terms: &TokenTerms<'_>) -> Result<IssuedToken, VaultError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut_slice()).map_err(|_| VaultError::Library)?;
        let secret = Secret::new(hex::encode(secret.as_slice()));
        let id = TokenId::generate();
        let id_text = id.to_string();
        let digits = id_text.strip_prefix("tok-").unwrap_or(&id_text);
        let checked = Zeroizing::new(format!("ngr_{}_{digits}_{}", terms.kind.word(), secret.expose()));
        let text = Secret::new(format!("{}{}", *checked, checksum_of(&checked)));
        let digest = hmac::sign(&self.tokens, &digested(terms, id, &secret)).as_ref().to_vec();
        Ok(IssuedToken { id, text, digest })
    }

    /// Whether the presented token is the one whose digest was kept, made for these terms. Takes the same time either
    /// way.
    pub fn recognises_token(&self, presented: &PresentedToken, terms: &TokenTerms<'_>, digest: &[u8]) -> bool {
        let digested = digested(terms, presented.id, &presented.secret);
        hmac::verify(&self.tokens, &digested, digest).is_ok()
    }
}

/// Id and terms are in it, so that a digest moved to another row is worth nothing there. Each part with its length.
fn digested(terms: &TokenTerms<'_>, id: TokenId, secret: &Secret) -> Zeroizing<Vec<u8>> {
    let text = |id: Option<String>| id.unwrap_or_default();
    let parts = [
        terms.kind.word(),
        &id.to_string(),
        terms.name,
        terms.role,
        &text(terms.expires_at.map(|at| at.to_string())),
        &text(terms.pool.map(|pool| pool.to_string())),
        &text(terms.agent.map(|agent| agent.to_string())),
        secret.expose(),
    ];
    let length = parts.iter().map(|part| 8 + part.len()).sum();
    let mut digested = Zeroizing::new(Vec::with_capacity(length));
    for part in parts {
        digested.extend_from_slice(&(part.len() as u64).to_be_bytes());
        digested.extend_from_slice(part.as_bytes());
    }
    digested
}

fn checksum_of(text: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    format!("{:08x}", crc.sum())
}
