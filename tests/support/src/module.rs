//! OpenTofu module packages: a zip written by hand, an OCI manifest around it.
//!
//! Rule: the manifest is what OpenTofu's documentation asks for (`oci_registries/module-package`): artifact type
//! `application/vnd.opentofu.modulepkg`, exactly one layer of media type `archive/zip`.

use serde_json::json;
use sha2::{Digest as _, Sha256};

/// The artifact type that OpenTofu demands.
const ARTIFACT: &str = "application/vnd.opentofu.modulepkg";
/// The only manifest type that OpenTofu accepts for a module.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An empty configuration (OCI image specification 1.1).
pub const EMPTY: &[u8] = b"{}";

/// A package, ready to be pushed.
#[derive(Debug)]
pub struct Package {
    /// The layer: a zip whose entries are stored, not compressed.
    pub zip: Vec<u8>,
    /// The manifest that names it.
    pub manifest: Vec<u8>,
}

impl Package {
    /// A module of these files: (path, content).
    pub fn new(files: &[(&str, &str)]) -> Self {
        let zip = stored_zip(files);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": ARTIFACT,
            "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(EMPTY), "size": EMPTY.len()},
            "layers": [{"mediaType": "archive/zip", "digest": digest(&zip), "size": zip.len()}],
        });
        Self { zip, manifest: manifest.to_string().into_bytes() }
    }

    /// The smallest module with an input, an output and a resource that needs no provider.
    pub fn greeting() -> Self {
        Self::new(&[(
            "main.tf",
            "variable \"name\" {\n  type = string\n}\n\nresource \"terraform_data\" \"greeting\" {\n  \
             input = \"hello, ${var.name}\"\n}\n\noutput \"text\" {\n  value = terraform_data.greeting.output\n}\n",
        )])
    }

    /// `sha256:…` of the manifest.
    pub fn digest(&self) -> String {
        digest(&self.manifest)
    }
}

/// `sha256:…` of some bytes, as OCI writes it.
pub fn digest(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold("sha256:".to_owned(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A zip archive (APPNOTE 6.3.3) with stored entries, mode 0644, dated 1980.
fn stored_zip(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = Vec::new();
    let mut directory = Vec::new();
    for (path, content) in files {
        let offset = length(archive.len());
        let size = length(content.len());
        let mut common = Vec::new();
        // Version 2.0, UTF-8 names, stored, 1980-01-01 00:00.
        common.extend([20, 0, 0, 8, 0, 0, 0, 0, 0x21, 0]);
        common.extend(checksum(content.as_bytes()).to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(size.to_le_bytes());
        common.extend(short(path.len()).to_le_bytes());
        common.extend([0, 0]);

        archive.extend(b"PK\x03\x04");
        archive.extend(&common);
        archive.extend(path.as_bytes());
        archive.extend(content.as_bytes());

        // Made on Unix; no comment, disk 0, no internal attributes.
        directory.extend(b"PK\x01\x02\x14\x03");
        directory.extend(&common);
        directory.extend([0; 6]);
        directory.extend((0o100_644_u32 << 16).to_le_bytes());
        directory.extend(offset.to_le_bytes());
        directory.extend(path.as_bytes());
    }
    let start = length(archive.len());
    archive.extend(&directory);
    archive.extend(b"PK\x05\x06\0\0\0\0");
    archive.extend(short(files.len()).to_le_bytes());
    archive.extend(short(files.len()).to_le_bytes());
    archive.extend(length(directory.len()).to_le_bytes());
    archive.extend(start.to_le_bytes());
    archive.extend([0, 0]);
    archive
}

/// CRC-32 as zip uses it.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}

fn length(value: usize) -> u32 {
    u32::try_from(value).unwrap_or_else(|_| unreachable!("test modules are small"))
}

fn short(value: usize) -> u16 {
    u16::try_from(value).unwrap_or_else(|_| unreachable!("test modules are small"))
}

#[cfg(test)]
mod tests {
    use super::{checksum, digest};

    #[test]
    fn checksum_is_the_published_one() {
        assert_eq!(checksum(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
