//! Encryption at rest.
//!
//! root key → HKDF-SHA-256 → key-encryption key (and, by other labels, the keys of token digests and of marks) → one
//! random data key per secret or blob → AES-256-GCM-SIV. A nonce that repeats by accident is no disaster with SIV.
//!
//! Rule: nothing is sealed or opened without a [`Permit`], and everything is bound to its
//! [`Context`]: moved to another record, version, field or registry, it does not open.

pub mod blob;
pub mod context;
pub mod envelope;
pub mod key;
pub mod mark;
pub mod token;

pub use blob::DataKey;
pub use context::Context;
pub use envelope::Sealed;
pub use key::{KeyError, RootKey};
pub use token::{IssuedToken, PresentedToken};

use aws_lc_rs::aead::{AES_256_GCM_SIV, LessSafeKey, UnboundKey};
use aws_lc_rs::{hkdf, hmac};
use zeroize::Zeroizing;

use super::policy::{Direction, Permit};
use crate::secret::Secret;

/// A failure of the vault.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// The permit is for something else: a fault of ours.
    #[error("the permit is not for this")]
    NotPermitted,
    /// Not ours, of a version to come, or cut short.
    #[error("the sealed bytes are not in a form that this version knows")]
    Form,
    /// Sealed under another key.
    #[error("sealed under the key {found}, but the key in use is {in_use}; hint: start with the key that sealed it")]
    OtherKey {
        /// The key id in the header.
        found: String,
        /// Ours.
        in_use: String,
    },
    /// Does not open: changed, or moved from elsewhere.
    #[error("the sealed bytes do not open: they were changed or belong to something else")]
    DoesNotOpen,
    /// Opened, but no text.
    #[error("the opened bytes are not text")]
    NotText,
    /// The library failed (no randomness).
    #[error("the cryptographic library failed")]
    Library,
}

/// Seals and opens.
pub struct Vault {
    wrapping: LessSafeKey,
    key_id: [u8; envelope::KEY_ID_BYTES],
    tokens: hmac::Key,
    marks: hmac::Key,
}

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({})", hex::encode(self.key_id))
    }
}

impl Vault {
    /// Derives the working keys of a root key.
    ///
    /// # Errors
    /// [`VaultError::Library`].
    pub fn new(root: &RootKey) -> Result<Self, VaultError> {
        let pseudo_random = hkdf::Salt::new(hkdf::HKDF_SHA256, b"nigari/1").extract(root.bytes());
        let wrapping = derive::<32>(&pseudo_random, b"key-encryption key")?;
        let key_id = *derive::<{ envelope::KEY_ID_BYTES }>(&pseudo_random, b"key id")?;
        let tokens = derive::<32>(&pseudo_random, b"token digest key")?;
        let marks = derive::<32>(&pseudo_random, b"mark key")?;
        let wrapping = UnboundKey::new(&AES_256_GCM_SIV, wrapping.as_slice()).map_err(|_| VaultError::Library)?;
        Ok(Self {
            wrapping: LessSafeKey::new(wrapping),
            key_id,
            tokens: hmac::Key::new(hmac::HMAC_SHA256, tokens.as_slice()),
            marks: hmac::Key::new(hmac::HMAC_SHA256, marks.as_slice()),
        })
    }

    /// Seals a secret under a data key of its own.
    ///
    /// # Errors
    /// [`VaultError::NotPermitted`] when the permit is for something else.
    pub fn seal(&self, permit: &Permit, context: &Context, secret: &Secret) -> Result<Sealed, VaultError> {
        self.seal_bytes(permit, context, secret.expose().as_bytes())
    }

    /// Opens a sealed secret.
    ///
    /// # Errors
    /// [`VaultError`]: not permitted, changed, moved, another key.
    pub fn open(&self, permit: &Permit, context: &Context, sealed: &Sealed) -> Result<Secret, VaultError> {
        let mut bytes = self.open_bytes(permit, context, sealed)?;
        let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|_| VaultError::NotText)?;
        Ok(Secret::new(text))
    }

    /// [`Vault::seal`] for bytes.
    ///
    /// # Errors
    /// As [`Vault::seal`].
    pub fn seal_bytes(&self, permit: &Permit, context: &Context, bytes: &[u8]) -> Result<Sealed, VaultError> {
        if !permit.covers(context.protected(), Direction::Seal) {
            return Err(VaultError::NotPermitted);
        }
        envelope::seal(self, context, bytes)
    }

    /// [`Vault::open`] for bytes.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_bytes(
        &self,
        permit: &Permit,
        context: &Context,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        if !permit.covers(context.protected(), Direction::Open) {
            return Err(VaultError::NotPermitted);
        }
        envelope::open(self, context, sealed)
    }

    /// A value to keep beside the data; only the same key passes [`Vault::recognises`] with it.
    ///
    /// # Errors
    /// [`VaultError::Library`].
    pub fn check_value(&self) -> Result<Sealed, VaultError> {
        envelope::seal(self, &Context::check_value(), CHECKED)
    }

    /// Whether a check value was made by this key.
    ///
    /// # Errors
    /// [`VaultError`] when it was not.
    pub fn recognises(&self, check_value: &Sealed) -> Result<(), VaultError> {
        let opened = envelope::open(self, &Context::check_value(), check_value)?;
        if opened.as_slice() == CHECKED { Ok(()) } else { Err(VaultError::DoesNotOpen) }
    }
}

const CHECKED: &[u8] = b"nigari";

struct Bytes(usize);

impl hkdf::KeyType for Bytes {
    fn len(&self) -> usize {
        self.0
    }
}

fn derive<const N: usize>(from: &hkdf::Prk, label: &[u8]) -> Result<Zeroizing<[u8; N]>, VaultError> {
    let mut key = Zeroizing::new([0; N]);
    from.expand(&[label], Bytes(N)).and_then(|okm| okm.fill(key.as_mut_slice())).map_err(|_| VaultError::Library)?;
    Ok(key)
}

#[cfg(test)]
mod tests;
