//! The form of sealed bytes: header, wrapped data key, ciphertext.
//!
//! ```text
//! magic "NGRV" · version 1 · algorithm 1 · key id (8) · wrap nonce (12) · wrapped data key (32 + 16)
//! · nonce (12) · ciphertext + tag (16)
//! ```
//! Rule: fixed lengths; an unknown version or algorithm is an error, never a guess. Header and context are bound into
//! both the wrap and the payload.

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand;
use zeroize::Zeroizing;

use super::{Context, Vault, VaultError};

/// Bytes of a key id.
pub(super) const KEY_ID_BYTES: usize = 8;
const MAGIC: &[u8; 4] = b"NGRV";
const VERSION: u8 = 1;
/// AES-256-GCM-SIV for wrap and payload.
const ALGORITHM: u8 = 1;
const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
const DATA_KEY_BYTES: usize = 32;
const HEADER_BYTES: usize = 4 + 1 + 1 + KEY_ID_BYTES;
const WRAP_END: usize = HEADER_BYTES + NONCE_BYTES + DATA_KEY_BYTES + TAG_BYTES;

/// Sealed bytes, as the store keeps them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed(Vec<u8>);

impl Sealed {
    /// As read from the store.
    pub fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// For the store.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// For the store.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(super) fn seal(vault: &Vault, context: &Context, plain: &[u8]) -> Result<Sealed, VaultError> {
    let (key, mut sealed) = wrap_new_key(vault, context)?;
    sealed.extend_from_slice(&seal_with(&key, &bound(&sealed, context), plain)?);
    Ok(Sealed(sealed))
}

pub(super) fn open(vault: &Vault, context: &Context, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (wrap, payload) = sealed.0.split_at_checked(WRAP_END).ok_or(VaultError::Form)?;
    let key = unwrap_key(vault, context, wrap)?;
    open_with(&key, &bound(wrap, context), payload)
}

/// A fresh data key, and header and wrap to keep beside what it seals.
pub(super) fn wrap_new_key(vault: &Vault, context: &Context) -> Result<(LessSafeKey, Vec<u8>), VaultError> {
    let mut key = Zeroizing::new([0; DATA_KEY_BYTES]);
    rand::fill(key.as_mut_slice()).map_err(|_| VaultError::Library)?;
    let mut sealed = Vec::with_capacity(WRAP_END);
    sealed.extend_from_slice(MAGIC);
    sealed.extend_from_slice(&[VERSION, ALGORITHM]);
    sealed.extend_from_slice(&vault.key_id);
    let wrapped = seal_with(&vault.wrapping, &bound(&sealed, context), key.as_slice())?;
    sealed.extend_from_slice(&wrapped);
    Ok((data_key(key.as_slice())?, sealed))
}

/// The data key of a wrap.
pub(super) fn unwrap_key(vault: &Vault, context: &Context, wrap: &[u8]) -> Result<LessSafeKey, VaultError> {
    let (header, wrapped) = wrap.split_at_checked(HEADER_BYTES).ok_or(VaultError::Form)?;
    let (form, key_id) = header.split_at_checked(MAGIC.len() + 2).ok_or(VaultError::Form)?;
    if form.strip_prefix(MAGIC) != Some(&[VERSION, ALGORITHM]) {
        return Err(VaultError::Form);
    }
    if key_id != vault.key_id {
        return Err(VaultError::OtherKey { found: hex::encode(key_id), in_use: hex::encode(vault.key_id) });
    }
    data_key(&open_with(&vault.wrapping, &bound(header, context), wrapped)?)
}

/// `nonce · ciphertext · tag`.
pub(super) fn seal_with(key: &LessSafeKey, bound: &[u8], plain: &[u8]) -> Result<Vec<u8>, VaultError> {
    let mut nonce = [0; NONCE_BYTES];
    rand::fill(&mut nonce).map_err(|_| VaultError::Library)?;
    let mut sealed = Vec::with_capacity(NONCE_BYTES + plain.len() + TAG_BYTES);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let (_, in_place) = sealed.split_at_mut(NONCE_BYTES);
    let tag = key
        .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), in_place)
        .map_err(|_| VaultError::Library)?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

pub(super) fn open_with(key: &LessSafeKey, bound: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or(VaultError::Form)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| VaultError::Form)?;
    let mut plain = Zeroizing::new(ciphertext.to_vec());
    let length = key.open_in_place(nonce, Aad::from(bound), &mut plain).map_err(|_| VaultError::DoesNotOpen)?.len();
    plain.truncate(length);
    Ok(plain)
}

/// What precedes a ciphertext and where it belongs: both authenticated with it.
fn bound(before: &[u8], context: &Context) -> Vec<u8> {
    let mut bound = Vec::with_capacity(8 + before.len() + context.bytes().len());
    bound.extend_from_slice(&(before.len() as u64).to_be_bytes());
    bound.extend_from_slice(before);
    bound.extend_from_slice(context.bytes());
    bound
}

fn data_key(bytes: &[u8]) -> Result<LessSafeKey, VaultError> {
    UnboundKey::new(&AES_256_GCM_SIV, bytes).map(LessSafeKey::new).map_err(|_| VaultError::Form)
}
