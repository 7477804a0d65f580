//! Tokens: `ngr_<kind>_<id>_<secret><checksum>`.
//!
//! Rule: only an HMAC of the secret part is kept, under a key of the vault, and it is compared in constant time. The
//! secret has 256 bits of randomness, so no slow hash is needed. The checksum lets scanners and typing errors be told
//! from wrong tokens without asking the database.

use aws_lc_rs::{hmac, rand};
use zeroize::Zeroizing;

use super::{Vault, VaultError};
use crate::protocol::api::TokenKind;
use crate::protocol::id::TokenId;
use crate::secret::Secret;

const SECRET_BYTES: usize = 32;
const SECRET_DIGITS: usize = 2 * SECRET_BYTES;
const CHECKSUM_DIGITS: usize = 8;

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
    pub fn issue_token(&self, kind: TokenKind) -> Result<IssuedToken, VaultError> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        rand::fill(secret.as_mut_slice()).map_err(|_| VaultError::Library)?;
        let secret = Secret::new(hex::encode(secret.as_slice()));
        let id = TokenId::generate();
        let id_text = id.to_string();
        let digits = id_text.strip_prefix("tok-").unwrap_or(&id_text);
        let checked = Zeroizing::new(format!("ngr_{}_{digits}_{}", kind.word(), secret.expose()));
        let text = Secret::new(format!("{}{}", *checked, checksum_of(&checked)));
        let digest = hmac::sign(&self.tokens, &digested(kind, id, &secret)).as_ref().to_vec();
        Ok(IssuedToken { id, text, digest })
    }

    /// Whether the presented token is the one whose digest was kept. Takes the same time either way.
    pub fn recognises_token(&self, presented: &PresentedToken, digest: &[u8]) -> bool {
        let digested = digested(presented.kind, presented.id, &presented.secret);
        hmac::verify(&self.tokens, &digested, digest).is_ok()
    }
}

/// Kind and id are in it, so that a digest moved to another row is worth nothing there.
fn digested(kind: TokenKind, id: TokenId, secret: &Secret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(format!("{}/{id}/{}", kind.word(), secret.expose()).into_bytes())
}

fn checksum_of(text: &str) -> String {
    let mut crc = flate2::Crc::new();
    crc.update(text.as_bytes());
    format!("{:08x}", crc.sum())
}
