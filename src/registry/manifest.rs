//! Manifests, and which of them are OpenTofu module packages.
//!
//! Rule: the same checks as OpenTofu's (`internal/getmodules/oci_getter.go`, 1.12.6): an image manifest with the
//! module's artifact type and exactly one zip layer. Nothing of a manifest's text is repeated in messages.

use reqwest::Method;
use serde::Deserialize;
use url::Url;

use super::authorization::Authorization;
use super::exchange::{Exchange, ExchangeError, Question, Reply};
use super::scope::Reference;

/// Media type of an image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Media type of an image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Artifact type of a module package.
pub const MODULE_PACKAGE: &str = "application/vnd.opentofu.modulepkg";
/// Media type of a module package's layer.
pub const ZIP: &str = "archive/zip";

/// Bytes of a manifest; what OpenTofu reads.
const MANIFEST_BYTES: usize = 4 * 1024 * 1024;
/// What is accepted: both, so that an index can be named as what it is.
const ACCEPT: &str = "application/vnd.oci.image.manifest.v1+json, application/vnd.oci.image.index.v1+json";

/// What a manifest is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestKind {
    /// A module package.
    ModulePackage,
    /// A module package without exactly one zip layer.
    NoSingleZip,
    /// An index of several manifests.
    Index,
    /// A provider, for a mirror.
    Provider,
    /// A container image.
    ContainerImage,
    /// A Helm chart.
    HelmChart,
    /// Something else.
    Other,
    /// Not a manifest at all.
    Unreadable,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Manifest {
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    #[serde(default)]
    config: Option<Descriptor>,
    #[serde(default)]
    layers: Vec<Descriptor>,
    #[serde(default)]
    manifests: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    #[serde(default)]
    media_type: String,
}

/// Asks for a manifest: by `HEAD` whether it is there, by `GET` for itself.
pub async fn ask_manifest(
    exchange: &Exchange,
    method: Method,
    host: &str,
    reference: &Reference,
    authorization: Option<&Authorization>,
) -> Result<Reply, ExchangeError> {
    // By the grammars of host, repository and reference this always is a URL.
    let text = format!("https://{host}/v2/{}/manifests/{}", reference.repository, reference.reference);
    let url = Url::parse(&text).map_err(|_| ExchangeError::NotHttp)?;
    let limit = if method == Method::HEAD { 0 } else { MANIFEST_BYTES };
    exchange.ask(Question { method, url, accept: ACCEPT, authorization, limit }).await
}

/// What a manifest is of.
pub fn manifest_kind(body: &[u8]) -> ManifestKind {
    let Ok(manifest) = serde_json::from_slice::<Manifest>(body) else { return ManifestKind::Unreadable };
    if manifest.media_type == INDEX || manifest.manifests.is_some() {
        let provider = manifest.artifact_type.starts_with("application/vnd.opentofu.provider");
        return if provider { ManifestKind::Provider } else { ManifestKind::Index };
    }
    let config = manifest.config.map(|config| config.media_type).unwrap_or_default();
    match manifest.artifact_type.as_str() {
        MODULE_PACKAGE if manifest.layers.iter().filter(|layer| layer.media_type == ZIP).count() == 1 => {
            ManifestKind::ModulePackage
        }
        MODULE_PACKAGE => ManifestKind::NoSingleZip,
        kind if kind.starts_with("application/vnd.opentofu.provider") => ManifestKind::Provider,
        _ if config.starts_with("application/vnd.cncf.helm") => ManifestKind::HelmChart,
        _ if config.contains("container.image") || config.starts_with("application/vnd.oci.image.config") => {
            ManifestKind::ContainerImage
        }
        _ => ManifestKind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::{ManifestKind as K, manifest_kind};

    #[test]
    fn kinds_are_told_apart() {
        let module = |layers: &str| {
            format!(r#"{{"schemaVersion":2,"artifactType":"application/vnd.opentofu.modulepkg","layers":[{layers}]}}"#)
        };
        let zip = r#"{"mediaType":"archive/zip"}"#;
        let tar = r#"{"mediaType":"application/x-tar"}"#;
        for (text, kind) in [
            (module(zip), K::ModulePackage),
            (module(&format!("{tar},{zip}")), K::ModulePackage),
            (module(tar), K::NoSingleZip),
            (module(&format!("{zip},{zip}")), K::NoSingleZip),
            (r#"{"manifests":[]}"#.into(), K::Index),
            (r#"{"manifests":[],"artifactType":"application/vnd.opentofu.provider"}"#.into(), K::Provider),
            (r#"{"config":{"mediaType":"application/vnd.docker.container.image.v1+json"}}"#.into(), K::ContainerImage),
            (r#"{"config":{"mediaType":"application/vnd.cncf.helm.config.v1+json"}}"#.into(), K::HelmChart),
            ("{}".into(), K::Other),
            ("7".into(), K::Unreadable),
            ("<html>".into(), K::Unreadable),
        ] {
            assert_eq!(manifest_kind(text.as_bytes()), kind, "{text}");
        }
    }
}
