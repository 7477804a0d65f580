//! Which registry hosts a run's module sources and the operator's OCI mirrors name, as far as that can be known before
//! anything is fetched.
//!
//! Rule: a module that comes from elsewhere may call others, and a computed source may be anything: with one of these
//! any registry of the run's integrations may be asked for, and what was not named is told.

use std::collections::BTreeSet;

use crate::protocol::registry_address::RegistryAddress;
use crate::tofu::cli_configuration::OciMirror;
use crate::tofu::modules::{ModuleSource, SourceKind};

/// Hosts in normal form, and whether there may be more.
#[derive(Debug, Clone, Default)]
pub struct NamedHosts {
    hosts: BTreeSet<String>,
    is_open: bool,
}

impl NamedHosts {
    /// These hosts; `is_open` if there may be more.
    pub fn new(hosts: impl IntoIterator<Item = String>, is_open: bool) -> Self {
        Self { hosts: hosts.into_iter().collect(), is_open }
    }

    /// Those of a configuration.
    pub fn of(sources: &[ModuleSource]) -> Self {
        let host = |source: &ModuleSource| match &source.kind {
            SourceKind::Oci { registry_host, .. } => registry_host.parse::<RegistryAddress>().ok(),
            _ => None,
        };
        let hosts = sources.iter().filter_map(host).map(|address| address.host().to_owned());
        Self::new(hosts, sources.iter().any(|source| source.kind != SourceKind::Local))
    }

    /// The same, and those of which the providers come: every mirror is one that a run may ask.
    #[must_use]
    pub fn with_mirrors(mut self, mirrors: &[OciMirror]) -> Self {
        for mirror in mirrors {
            match mirror.registry_host().map(str::parse::<RegistryAddress>) {
                Some(Ok(address)) => {
                    self.hosts.insert(address.host().to_owned());
                }
                // Computed from the provider's address.
                Some(Err(_)) | None => self.is_open = true,
            }
        }
        self
    }

    /// Whether a source names it.
    pub(super) fn names(&self, host: &str) -> bool {
        self.hosts.contains(host)
    }

    /// Whether a source names it, or one may that is not known yet.
    pub(super) fn may_be_asked(&self, host: &str) -> bool {
        self.is_open || self.names(host)
    }
}

#[cfg(test)]
mod tests {
    use super::NamedHosts;
    use crate::tofu::cli_configuration::OperatorConfiguration;
    use crate::tofu::modules::{ModuleSource, SourceKind};

    fn of(sources: &[&str]) -> NamedHosts {
        let source = |text: &&str| ModuleSource {
            name: "m".to_owned(),
            source: (*text).to_owned(),
            kind: if text.contains("${") { SourceKind::Expression } else { SourceKind::of(text) },
            file: "main.tf".into(),
            oci: None,
        };
        NamedHosts::of(&sources.iter().map(source).collect::<Vec<_>>())
    }

    #[test]
    fn a_configuration_without_foreign_modules_names_no_host_and_can_name_none() {
        for sources in [&[][..], &["./a", "../b"]] {
            assert!(!of(sources).may_be_asked("ghcr.io"), "{sources:?}");
        }
    }

    #[test]
    fn what_comes_from_elsewhere_may_name_more_and_only_what_is_literal_is_named() {
        let oci = of(&["oci://GHCR.io:443/a/b?tag=1", "oci://docker.io/a/b", "./c"]);
        assert!(oci.names("ghcr.io") && oci.names("registry-1.docker.io") && !oci.names("quay.io"));
        for source in ["oci://h/a", "git::https://h/a.git", "org/name/aws", "https://h/a.zip", "oci://${local.h}/a"] {
            assert!(of(&[source]).may_be_asked("quay.io"), "{source}");
        }
    }

    #[test]
    fn an_oci_mirror_may_be_asked_by_every_run() {
        let mirrors = |template: &str| {
            let file = tempfile::NamedTempFile::new().unwrap();
            let text = format!(
                "provider_installation {{\n  oci_mirror {{\n    repository_template = \"{template}\"\n  }}\n}}\n"
            );
            std::fs::write(file.path(), text).unwrap();
            OperatorConfiguration::read(Some(file.path()), None).unwrap().oci_mirrors().unwrap()
        };
        let named = of(&[]).with_mirrors(&mirrors("R.example:443/${namespace}/${type}"));
        assert!(named.names("r.example") && !named.may_be_asked("ghcr.io"));
        let computed = of(&[]).with_mirrors(&mirrors("${hostname}/${namespace}/${type}"));
        assert!(computed.may_be_asked("ghcr.io") && !computed.names("ghcr.io"));
    }
}
