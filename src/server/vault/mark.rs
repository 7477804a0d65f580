//! Marks: keyed digests of what is kept elsewhere, so that it can be told from a forgery, or known again without being
//! readable.
//!
//! Rule: a mark is bound to its [`Context`] like a ciphertext, and compared in constant time.

use aws_lc_rs::hmac;

use super::{Context, Vault, VaultError};
use crate::server::policy::{Direction, Permit};

impl Vault {
    /// The mark of these bytes in this context.
    ///
    /// # Errors
    /// [`VaultError::NotPermitted`] when the permit is for something else.
    pub fn mark(&self, permit: &Permit, context: &Context, bytes: &[u8]) -> Result<Vec<u8>, VaultError> {
        if !permit.covers(context.protected(), Direction::Seal) {
            return Err(VaultError::NotPermitted);
        }
        Ok(hmac::sign(&self.marks, &marked(context, bytes)).as_ref().to_vec())
    }

    /// Refuses a mark that was not made for these bytes in this context.
    ///
    /// # Errors
    /// [`VaultError::DoesNotOpen`]; [`VaultError::NotPermitted`] when the permit is for something else.
    pub fn check_mark(&self, permit: &Permit, context: &Context, bytes: &[u8], mark: &[u8]) -> Result<(), VaultError> {
        if !permit.covers(context.protected(), Direction::Open) {
            return Err(VaultError::NotPermitted);
        }
        hmac::verify(&self.marks, &marked(context, bytes), mark).map_err(|_| VaultError::DoesNotOpen)
    }
}

/// The context's length first, so that nothing of the one can pass for the other.
fn marked(context: &Context, bytes: &[u8]) -> Vec<u8> {
    let mut marked = Vec::with_capacity(8 + context.bytes().len() + bytes.len());
    marked.extend_from_slice(&(context.bytes().len() as u64).to_be_bytes());
    marked.extend_from_slice(context.bytes());
    marked.extend_from_slice(bytes);
    marked
}
