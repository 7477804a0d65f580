//! OpenTofu module packages: a zip, and an OCI manifest around it.
//!
//! Rule: the manifest is what OpenTofu's documentation asks for (`oci_registries/module-package`): artifact type
//! `application/vnd.opentofu.modulepkg`, exactly one layer of media type `archive/zip`.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::zip::{Entry, stored};

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
        let entries =
            files.iter().map(|(path, content)| Entry { path, content: content.as_bytes(), is_program: false });
        let zip = stored(&entries.collect::<Vec<_>>());
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

#[cfg(test)]
mod tests {
    use super::digest;

    #[test]
    fn digest_of_nothing_is_the_published_one() {
        assert_eq!(digest(b""), "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
