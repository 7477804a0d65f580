//! OpenTofu provider packages in an OCI registry: a zip for each platform, a manifest around each, an index around all.
//!
//! Rule: as OpenTofu's documentation asks for it (`oci_registries/provider-mirror`): artifact types
//! `application/vnd.opentofu.provider` and `…provider-target`, exactly one layer of media type `archive/zip`.

use serde_json::json;

use crate::module::{EMPTY, MANIFEST, digest};
use crate::zip::{Entry, stored};

/// The index's type.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const ARTIFACT: &str = "application/vnd.opentofu.provider";
const TARGET: &str = "application/vnd.opentofu.provider-target";

/// A version of a provider, ready to be pushed.
#[derive(Debug)]
pub struct ProviderPackage {
    /// For each platform, the zip and the manifest that names it.
    pub platforms: Vec<(Vec<u8>, Vec<u8>)>,
    /// The index.
    pub index: Vec<u8>,
}

impl ProviderPackage {
    /// The program `name` (`terraform-provider-time_v0.14.2`) for this machine's platform, and something else for
    /// another, which nobody here must take.
    pub fn new(name: &str, program: &[u8]) -> Self {
        let here = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let platforms = [("linux", here, program), ("plan9", "mips", b"for another platform".as_slice())];
        let mut packages = Vec::new();
        let mut listed = Vec::new();
        for (system, architecture, content) in platforms {
            let zip = stored(&[Entry { path: name, content, is_program: true }]);
            let manifest = json!({
                "schemaVersion": 2,
                "mediaType": MANIFEST,
                "artifactType": TARGET,
                "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest(EMPTY), "size": EMPTY.len()},
                "layers": [{"mediaType": "archive/zip", "digest": digest(&zip), "size": zip.len()}],
            });
            let manifest = manifest.to_string().into_bytes();
            listed.push(json!({
                "mediaType": MANIFEST, "artifactType": TARGET, "digest": digest(&manifest), "size": manifest.len(),
                "platform": {"os": system, "architecture": architecture},
            }));
            packages.push((zip, manifest));
        }
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "artifactType": ARTIFACT, "manifests": listed});
        Self { platforms: packages, index: index.to_string().into_bytes() }
    }

    /// `sha256:…` of the index.
    pub fn digest(&self) -> String {
        digest(&self.index)
    }

    /// What a lock file says of the zip for this platform: `zh:…`.
    pub fn zip_hash(&self) -> String {
        let zip = self.platforms.first().map(|(zip, _)| digest(zip)).unwrap_or_default();
        zip.replace("sha256:", "zh:")
    }
}
