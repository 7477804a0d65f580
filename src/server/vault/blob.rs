//! Big things in chunks: one data key per blob, each chunk bound to its number.
//!
//! Rule: chunks cannot be swapped, within a blob or between two. How many there are is the store's to know (length and
//! digest stand beside the blob).

use aws_lc_rs::aead::LessSafeKey;
use zeroize::Zeroizing;

use super::envelope::{open_with, seal_with, unwrap_key, wrap_new_key};
use super::{Context, Sealed, Vault, VaultError};
use crate::server::policy::{Direction, Permit};

/// The key of one blob, opened; wiped when dropped.
pub struct DataKey {
    key: LessSafeKey,
    bound: Vec<u8>,
}

impl std::fmt::Debug for DataKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataKey(..)")
    }
}

impl Vault {
    /// A key for a new blob, and its sealed form to keep beside it.
    ///
    /// # Errors
    /// [`VaultError::NotPermitted`] when the permit is for something else.
    pub fn new_data_key(&self, permit: &Permit, context: &Context) -> Result<(DataKey, Sealed), VaultError> {
        if !permit.covers(context.protected(), Direction::Seal) {
            return Err(VaultError::NotPermitted);
        }
        let (key, sealed) = wrap_new_key(self, context)?;
        Ok((DataKey { key, bound: context.bytes().to_vec() }, Sealed::from_bytes(sealed)))
    }

    /// The key of an existing blob, to read it or (a log) to append to it: the permit says which.
    ///
    /// # Errors
    /// [`VaultError`]: not permitted, changed, moved, another key.
    pub fn open_data_key(&self, permit: &Permit, context: &Context, sealed: &Sealed) -> Result<DataKey, VaultError> {
        let permitted =
            permit.covers(context.protected(), Direction::Open) || permit.covers(context.protected(), Direction::Seal);
        if !permitted {
            return Err(VaultError::NotPermitted);
        }
        let key = unwrap_key(self, context, sealed.as_bytes())?;
        Ok(DataKey { key, bound: context.bytes().to_vec() })
    }
}

impl DataKey {
    /// Seals the chunk of this number.
    ///
    /// # Errors
    /// [`VaultError::Library`].
    pub fn seal_chunk(&self, number: u64, plain: &[u8]) -> Result<Vec<u8>, VaultError> {
        seal_with(&self.key, &self.bound_to(number), plain)
    }

    /// Opens the chunk of this number.
    ///
    /// # Errors
    /// [`VaultError::DoesNotOpen`] when it was changed or is another one.
    pub fn open_chunk(&self, number: u64, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        open_with(&self.key, &self.bound_to(number), sealed)
    }

    fn bound_to(&self, number: u64) -> Vec<u8> {
        let mut bound = Vec::with_capacity(self.bound.len() + 8);
        bound.extend_from_slice(&number.to_be_bytes());
        bound.extend_from_slice(&self.bound);
        bound
    }
}
