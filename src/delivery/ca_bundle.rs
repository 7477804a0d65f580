//! `ca.pem`: the host's roots plus the private authorities of this run's registries.
//!
//! Rule: plus, never instead: the step also fetches from public hosts, and trusts whom the operator lets it trust by
//! `SSL_CERT_FILE`, which this file takes the place of. `SSL_CERT_DIR` stays as it is passed: Go reads it besides. Only the
//! fetch step gets this file.

use std::path::{Path, PathBuf};

use crate::protocol::agent::RegistryCredential;
use crate::secret::Secret;

/// Relative to the secret directory.
pub(super) const NAME: &str = "ca.pem";

/// Names the file to Go programs.
const VARIABLE: &str = "SSL_CERT_FILE";

/// The variable that names the file to Go programs.
pub(super) fn variable(directory: &Path) -> (String, Secret) {
    (VARIABLE.into(), Secret::new(directory.join(NAME).display().to_string()))
}

/// Where the operator says that the host's roots are.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Roots<'a> {
    named: Option<&'a Path>,
    passed: Option<&'a Path>,
}

impl<'a> Roots<'a> {
    /// By the settings, and by what is passed to the step.
    pub(super) fn of(named: Option<&'a Path>, passed: Option<&'a [(String, Secret)]>) -> Self {
        // Of two with one name the later counts in the step.
        let passed = passed.unwrap_or_default().iter().rev();
        let passed = passed.filter(|(name, value)| name == VARIABLE && !value.is_empty());
        Self { named, passed: passed.map(|(_, value)| Path::new(value.expose())).next() }
    }

    /// A host may have none at all (a minimal container).
    fn read(self) -> Result<String, RootsError> {
        match (self.named, self.passed.filter(|passed| self.named != Some(passed))) {
            (None, None) => Ok(USUAL_PLACES.iter().find_map(|path| named(path.as_ref()).ok()).unwrap_or_default()),
            (Some(path), None) => named(path),
            (None, Some(passed)) => if_there(passed),
            (Some(path), Some(passed)) => Ok([named(path)?, if_there(passed)?].join("\n")),
        }
    }
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

/// As Go takes it: one that is missing adds nothing.
fn if_there(passed: &Path) -> Result<String, RootsError> {
    named(passed).or_else(|error| match error.source.kind() {
        std::io::ErrorKind::NotFound => {
            tracing::warn!(path = %passed.display(), "the file that `SSL_CERT_FILE` names is not there");
            Ok(String::new())
        }
        _ => Err(error),
    })
}

/// The host's roots cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the host's root certificates {} cannot be read", path.display())]
pub struct RootsError {
    path: PathBuf,
    source: std::io::Error,
}

/// The bundle's text, or `None` when no credential needs one.
pub(super) fn text(credentials: &[RegistryCredential], roots: Roots<'_>) -> Result<Option<String>, RootsError> {
    let private: Vec<&str> = credentials.iter().filter_map(|credential| credential.ca_pem.as_deref()).collect();
    if private.is_empty() { Ok(None) } else { with(&private, roots).map(Some) }
}

/// The host's roots and these authorities.
pub(super) fn with(authorities: &[&str], roots: Roots<'_>) -> Result<String, RootsError> {
    let mut bundle = roots.read()?;
    for pem in authorities {
        if !bundle.is_empty() && !bundle.ends_with('\n') {
            bundle.push('\n');
        }
        bundle.push_str(pem);
    }
    Ok(bundle)
}

/// Roots that the operator named, which must be there. Between certificates there may be anything.
pub(super) fn named(path: &Path) -> Result<String, RootsError> {
    let bytes = std::fs::read(path).map_err(|source| RootsError { path: path.to_owned(), source })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Roots, text, with};
    use crate::delivery::tests::credential;
    use crate::secret::Secret;

    fn passed(path: &Path) -> Vec<(String, Secret)> {
        let value = path.display().to_string();
        vec![("SSL_CERT_FILE".into(), "/nonexistent".into()), ("SSL_CERT_FILE".into(), value.as_str().into())]
    }

    #[test]
    fn without_a_private_authority_there_is_no_file() {
        assert!(text(&[credential("h:1", "u", "p")], Roots::default()).unwrap().is_none());
    }

    #[test]
    fn private_authorities_are_added_to_the_hosts_roots() {
        let roots = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(roots.path(), "HOST ROOTS").unwrap();
        let mut private = credential("h:1", "u", "p");
        private.ca_pem = Some("PRIVATE\n".into());
        let bundle = text(&[private], Roots::of(Some(roots.path()), None)).unwrap().unwrap();
        assert_eq!(bundle, "HOST ROOTS\nPRIVATE\n");
    }

    #[test]
    fn what_the_operator_passes_as_trusted_stays_trusted() {
        let home = tempfile::tempdir().unwrap();
        let (settings, environment) = (home.path().join("settings.pem"), home.path().join("environment.pem"));
        std::fs::write(&settings, "SETTINGS").unwrap();
        std::fs::write(&environment, b"# \xfcber\nENVIRONMENT").unwrap();
        let passed = passed(&environment);
        let bundle = |named: Option<&Path>| with(&["OURS"], Roots::of(named, Some(&passed))).unwrap();
        assert_eq!(bundle(None), "# \u{fffd}ber\nENVIRONMENT\nOURS");
        assert_eq!(bundle(Some(&settings)), "SETTINGS\n# \u{fffd}ber\nENVIRONMENT\nOURS");
        assert_eq!(bundle(Some(&environment)), bundle(None));
        // An empty variable is none, as for Go.
        let empty = [("SSL_CERT_FILE".to_owned(), Secret::from(""))];
        assert_eq!(with(&["OURS"], Roots::of(Some(&settings), Some(&empty))).unwrap(), "SETTINGS\nOURS");
    }

    #[test]
    fn roots_that_the_operator_named_must_be_there() {
        let mut private = credential("h:1", "u", "p");
        private.ca_pem = Some("PRIVATE\n".into());
        let missing = Path::new("/nonexistent/roots.pem");
        let error = text(&[private], Roots::of(Some(missing), None)).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/roots.pem"));
        assert_eq!(with(&[], Roots::of(None, Some(&passed(missing)))).unwrap(), "", "as Go takes it");
        assert!(with(&[], Roots::of(None, Some(&passed(Path::new("/etc"))))).is_err(), "what cannot be read is told");
    }
}
