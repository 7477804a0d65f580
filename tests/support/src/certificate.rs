//! A private certificate authority and the certificates that it signs, written in DER by hand.
//!
//! Rule: an authority and a leaf, never one certificate as both, because rustls refuses that (`CaUsedAsEndEntity`).
//! By hand and with a pure-Rust curve, because anything with C code would make the quickstart wait before its first word.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};

use crate::child::random_bytes;

/// `ecPublicKey` and `prime256v1` (RFC 5480).
const KEY_KIND: [&[u8]; 2] =
    [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01], &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]];
/// `ecdsa-with-SHA256` (RFC 5758).
const SIGNATURE_KIND: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// `id-at-commonName`.
const NAME_KIND: &[u8] = &[0x55, 0x04, 0x03];
/// `id-kp-serverAuth`.
const SERVER: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
/// A span that no test outlives; the wall clock is not asked.
const VALIDITY: [&[u8]; 2] = [b"20240101000000Z", b"20491231235959Z"];

/// A certificate authority that exists for one test.
pub struct Authority {
    key: SigningKey,
    name: String,
    certificate: Vec<u8>,
}

/// A certificate for a listener, with its key, both in PEM.
pub struct Leaf {
    /// The certificate.
    pub certificate: String,
    /// Its private key (`EC PRIVATE KEY`).
    pub key: String,
}

impl Authority {
    /// A new authority with a new key.
    pub fn new(name: &str) -> Self {
        let key = new_key();
        let extensions = [
            extension(&[0x55, 0x1d, 0x13], &sequence(&[tlv(0x01, &[0xff])])),
            // keyCertSign and cRLSign.
            extension(&[0x55, 0x1d, 0x0f], &tlv(0x03, &[0x01, 0x06])),
        ];
        let certificate = signed(&key, name, name, &key, &extensions);
        Self { key, name: name.to_owned(), certificate }
    }

    /// The authority's certificate in PEM.
    pub fn pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// A certificate for a listener that is reached by these names and addresses.
    pub fn leaf(&self, names: &[&str]) -> Leaf {
        let key = new_key();
        let alternatives: Vec<Vec<u8>> = names.iter().map(|name| alternative(name)).collect();
        let extensions = [
            extension(&[0x55, 0x1d, 0x13], &sequence(&[])),
            // digitalSignature.
            extension(&[0x55, 0x1d, 0x0f], &tlv(0x03, &[0x07, 0x80])),
            extension(&[0x55, 0x1d, 0x25], &sequence(&[tlv(0x06, SERVER)])),
            extension(&[0x55, 0x1d, 0x11], &sequence(&alternatives)),
        ];
        let certificate = signed(&self.key, &self.name, names.first().unwrap_or(&"leaf"), &key, &extensions);
        Leaf { certificate: pem("CERTIFICATE", &certificate), key: pem("EC PRIVATE KEY", &private_key(&key)) }
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.name)
    }
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leaf(..)")
    }
}

/// A new key; 32 random bytes are a valid one but for a chance of 2⁻³².
fn new_key() -> SigningKey {
    loop {
        if let Ok(key) = SigningKey::from_slice(&random_bytes(32)) {
            return key;
        }
    }
}

/// A certificate (RFC 5280) for `subject`'s key, signed by `issuer`'s.
fn signed(issuer_key: &SigningKey, issuer: &str, subject: &str, key: &SigningKey, extensions: &[Vec<u8>]) -> Vec<u8> {
    let mut serial = random_bytes(16);
    // Positive and without a leading zero.
    serial[0] = serial[0] & 0x7f | 0x40;
    let algorithm = sequence(&[tlv(0x06, SIGNATURE_KIND)]);
    let body = sequence(&[
        tlv(0xa0, &tlv(0x02, &[2])),
        tlv(0x02, &serial),
        algorithm.clone(),
        distinguished(issuer),
        sequence(&VALIDITY.map(|time| tlv(0x18, time))),
        distinguished(subject),
        sequence(&[sequence(&KEY_KIND.map(|kind| tlv(0x06, kind))), tlv(0x03, &public_point(key))]),
        tlv(0xa3, &sequence(extensions)),
    ]);
    let signature: Signature = issuer_key.sign(&body);
    let mut bits = vec![0];
    bits.extend_from_slice(signature.to_der().as_bytes());
    sequence(&[body, algorithm, tlv(0x03, &bits)])
}

/// `ECPrivateKey` (RFC 5915).
fn private_key(key: &SigningKey) -> Vec<u8> {
    sequence(&[
        tlv(0x02, &[1]),
        tlv(0x04, &key.to_bytes()),
        tlv(0xa0, &tlv(0x06, KEY_KIND[1])),
        tlv(0xa1, &tlv(0x03, &public_point(key))),
    ])
}

/// The public key as the content of a bit string: no unused bits, uncompressed point.
fn public_point(key: &SigningKey) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend_from_slice(key.verifying_key().to_sec1_point(false).as_bytes());
    bits
}

fn distinguished(name: &str) -> Vec<u8> {
    sequence(&[tlv(0x31, &sequence(&[tlv(0x06, NAME_KIND), tlv(0x0c, name.as_bytes())]))])
}

/// A critical extension.
fn extension(kind: &[u8], value: &[u8]) -> Vec<u8> {
    sequence(&[tlv(0x06, kind), tlv(0x01, &[0xff]), tlv(0x04, value)])
}

/// A name of the listener: `iPAddress` for a literal, `dNSName` otherwise.
fn alternative(name: &str) -> Vec<u8> {
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => tlv(0x87, &address.octets()),
        Ok(IpAddr::V6(address)) => tlv(0x87, &address.octets()),
        Err(_) => tlv(0x82, name.as_bytes()),
    }
}

fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

/// Tag, length, value; lengths up to 65535.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    match u16::try_from(value.len()).map(u16::to_be_bytes) {
        Ok([0, low]) if low < 0x80 => out.push(low),
        Ok([0, low]) => out.extend([0x81, low]),
        Ok([high, low]) => out.extend([0x82, high, low]),
        Err(_) => unreachable!("a certificate is never that long"),
    }
    out.extend_from_slice(value);
    out
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
