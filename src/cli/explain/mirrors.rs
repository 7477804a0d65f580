//! The `oci_mirror` blocks of an agent's CLI configuration, as sources to explain.
//!
//! Rule: as the agent reads them. Which repository a provider has is tofu's to compute; who serves it is told by the part of
//! the template that is the same for all of them.

use std::path::Path;

use crate::cli::error::CommandError;
use crate::tofu::cli_configuration::{OciMirror, OperatorConfiguration};
use crate::tofu::modules::{ModuleSource, SourceKind};

/// Reads them.
pub(super) fn read(file: &Path) -> Result<Vec<ModuleSource>, CommandError> {
    let refused = |error: crate::tofu::cli_configuration::CliConfigurationError| {
        let hint = error.hint().unwrap_or_else(|| "the agent would not start with it either".to_owned());
        CommandError::refused(error.to_string(), hint)
    };
    let operator = OperatorConfiguration::read(Some(file), None).map_err(refused)?;
    Ok(operator.oci_mirrors().map_err(refused)?.iter().map(|mirror| source(mirror, file)).collect())
}

fn source(mirror: &OciMirror, file: &Path) -> ModuleSource {
    let shown = format!("oci_mirror {}", mirror.template);
    let Some(host) = mirror.registry_host() else {
        let kind = SourceKind::Expression;
        return ModuleSource { name: String::new(), source: shown, kind, file: file.to_owned(), oci: None };
    };
    // One word more than what is common: an integration for exactly that path covers what is below it.
    let below = [mirror.common_path(), "provider"].join("/");
    let example = format!("oci://{host}/{}?tag=1.0.0", below.trim_start_matches('/'));
    ModuleSource { source: shown, ..ModuleSource::of(String::new(), &example, file.to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn a_mirror_is_explained_by_host_and_common_path() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mirrors = "provider_installation {\n  oci_mirror {\n    repository_template = \"r.example/tofu/${namespace}/${type}\"\n  \
                       }\n  oci_mirror {\n    repository_template = \"${hostname}/${namespace}/${type}\"\n  }\n}\n";
        std::fs::write(file.path(), mirrors).unwrap();
        let sources = read(file.path()).unwrap();
        assert_eq!(sources[0].source, "oci_mirror r.example/tofu/${namespace}/${type}");
        let oci = sources[0].oci.as_ref().unwrap();
        assert_eq!((oci.registry_host.as_str(), oci.repository.as_str()), ("r.example", "tofu/provider"));
        assert!(oci.faults.is_empty() && sources[1].oci.is_none());
        std::fs::write(file.path(), "provider_installation {").unwrap();
        assert!(read(file.path()).is_err());
    }
}
