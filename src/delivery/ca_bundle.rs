//! `ca.pem`: the host's roots plus the private authorities of this run's registries.
//!
//! Rule: plus, never instead: the step also fetches from public hosts. Only the fetch step gets this file.

use std::path::{Path, PathBuf};

use crate::protocol::agent::RegistryCredential;
use crate::secret::Secret;

/// Relative to the secret directory.
pub(super) const NAME: &str = "ca.pem";

/// The variable that names the file to Go programs.
pub(super) fn variable(directory: &Path) -> (String, Secret) {
    ("SSL_CERT_FILE".into(), Secret::new(directory.join(NAME).display().to_string()))
}

/// Where distributions keep all roots in one file; the order of Go's `crypto/x509` (`root_linux.go`).
const USUAL_PLACES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The host's roots cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the host's root certificates {} cannot be read", path.display())]
pub struct RootsError {
    path: PathBuf,
    source: std::io::Error,
}

/// The bundle's text, or `None` when no credential needs one.
pub(super) fn text(
    credentials: &[RegistryCredential],
    system_roots: Option<&Path>,
) -> Result<Option<String>, RootsError> {
    let private: Vec<&str> = credentials.iter().filter_map(|credential| credential.ca_pem.as_deref()).collect();
    if private.is_empty() { Ok(None) } else { with(&private, system_roots).map(Some) }
}

/// The host's roots and these authorities.
pub(super) fn with(authorities: &[&str], system_roots: Option<&Path>) -> Result<String, RootsError> {
    let mut bundle = roots(system_roots)?;
    for pem in authorities {
        if !bundle.is_empty() && !bundle.ends_with('\n') {
            bundle.push('\n');
        }
        bundle.push_str(pem);
    }
    Ok(bundle)
}

/// The roots that the operator named, which must be there.
pub(super) fn named(path: &Path) -> Result<String, RootsError> {
    std::fs::read_to_string(path).map_err(|source| RootsError { path: path.to_owned(), source })
}

/// A host may have none at all (a minimal container).
fn roots(given: Option<&Path>) -> Result<String, RootsError> {
    if let Some(path) = given {
        return named(path);
    }
    Ok(USUAL_PLACES.iter().find_map(|path| std::fs::read_to_string(path).ok()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::text;
    use crate::delivery::tests::credential;

    #[test]
    fn without_a_private_authority_there_is_no_file() {
        assert!(text(&[credential("h:1", "u", "p")], None).unwrap().is_none());
    }

    #[test]
    fn private_authorities_are_added_to_the_hosts_roots() {
        let roots = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(roots.path(), "HOST ROOTS").unwrap();
        let mut private = credential("h:1", "u", "p");
        private.ca_pem = Some("PRIVATE\n".into());
        let bundle = text(&[private], Some(roots.path())).unwrap().unwrap();
        assert_eq!(bundle, "HOST ROOTS\nPRIVATE\n");
    }

    #[test]
    fn roots_that_the_operator_named_must_be_there() {
        let mut private = credential("h:1", "u", "p");
        private.ca_pem = Some("PRIVATE\n".into());
        let error = text(&[private], Some("/nonexistent/roots.pem".as_ref())).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/roots.pem"));
    }
}
