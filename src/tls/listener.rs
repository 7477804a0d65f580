//! TLS of our own listener.
//!
//! Rule: a listener that cannot be right does not start; one whose certificate has expired starts and says so, because
//! renewing it must not need a second restart.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

use super::CertificateSummary;
use crate::clock::Clock;

/// Why a listener has no TLS.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// A file cannot be read.
    #[error("cannot read the {what} file {}; hint: check its path, and that the server's user may read it", .path.display())]
    Unreadable {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// No certificate in the file.
    #[error("there is no certificate in {}; hint: PEM, the server's own certificate first, then intermediates", .path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No key in the file.
    #[error(
        "there is no private key in {}; hint: an unencrypted key in PEM (`BEGIN PRIVATE KEY`, `BEGIN EC PRIVATE KEY`, …)",
        .path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Not PEM, or broken.
    #[error("the {what} file {} is not readable as PEM", .path.display())]
    Pem {
        /// `certificate` or `key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What the reader says.
        #[source]
        source: pem::Error,
    },
    /// Certificate and key are of two pairs.
    #[error(
        "the key in {} is not the one of the first certificate in {}; hint: the server's own certificate comes first",
        .key.display(), .certificate.display()
    )]
    KeyMismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// rustls takes them not.
    #[error("certificate {} and key {} cannot be used", .certificate.display(), .key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
}

/// TLS for a listener from two PEM files: HTTP/1.1, no client certificates.
pub fn server_config(certificate_file: &Path, key_file: &Path) -> Result<ServerConfig, ListenerError> {
    let chain = read_chain(certificate_file)?;
    let key = read_key(key_file)?;
    if let Some(certificate) = chain.first() {
        warn_of_expiry(certificate, certificate_file);
    }
    let unusable =
        |source| ListenerError::Unusable { certificate: certificate_file.to_owned(), key: key_file.to_owned(), source };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|source| match source {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                ListenerError::KeyMismatch { certificate: certificate_file.to_owned(), key: key_file.to_owned() }
            }
            source => unusable(source),
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn read(what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ListenerError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|source| ListenerError::Unreadable {
        what,
        path: path.to_owned(),
        source,
    })
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenerError> {
    let text = read("certificate", path)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|source| ListenerError::Pem { what: "certificate", path: path.to_owned(), source })?;
    if chain.is_empty() { Err(ListenerError::NoCertificate { path: path.to_owned() }) } else { Ok(chain) }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, ListenerError> {
    let text = read("key", path)?;
    PrivateKeyDer::from_pem_slice(&text).map_err(|source| match source {
        pem::Error::NoItemsFound => ListenerError::NoKey { path: path.to_owned() },
        source => ListenerError::Pem { what: "key", path: path.to_owned(), source },
    })
}

fn warn_of_expiry(certificate: &CertificateDer<'_>, file: &Path) {
    let Some(summary) = CertificateSummary::of(certificate) else { return };
    let now = Clock::new().now();
    if summary.not_after < now {
        tracing::warn!(file = %file.display(), "the listener's certificate has expired: clients will refuse it");
    } else if summary.not_before > now {
        tracing::warn!(file = %file.display(), "the listener's certificate is not valid yet: clients will refuse it");
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{ListenerError, server_config};

    struct Files {
        _directory: tempfile::TempDir,
        certificate: PathBuf,
        key: PathBuf,
    }

    fn files(certificate: &str, key: &str) -> Files {
        let directory = tempfile::tempdir().unwrap();
        let paths = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
        std::fs::write(&paths[0], certificate).unwrap();
        std::fs::write(&paths[1], key).unwrap();
        let [certificate, key] = paths;
        Files { _directory: directory, certificate, key }
    }

    fn pair(not_after: i32) -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        parameters.not_before = rcgen::date_time_ymd(2000, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(not_after, 1, 1);
        (parameters.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn error(certificate: &str, key: &str) -> ListenerError {
        let files = files(certificate, key);
        server_config(&files.certificate, &files.key).unwrap_err()
    }

    #[test]
    fn a_good_pair_and_an_expired_one_listen() {
        for year in [2100, 2001] {
            let (certificate, key) = pair(year);
            let files = files(&certificate, &key);
            let config = server_config(&files.certificate, &files.key).unwrap();
            assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        }
    }

    #[test]
    fn each_mistake_has_its_own_message() {
        let (certificate, key) = pair(2100);
        let (_, other) = pair(2100);
        assert!(matches!(error("", &key), ListenerError::NoCertificate { .. }));
        assert!(matches!(error(&certificate, "nothing"), ListenerError::NoKey { .. }));
        assert!(matches!(error(&certificate, &certificate), ListenerError::NoKey { .. }));
        assert!(matches!(error(&certificate, &other), ListenerError::KeyMismatch { .. }));
        assert!(matches!(error(&certificate[..certificate.len() - 30], &key), ListenerError::Pem { .. }));
        let files = files(&certificate, &key);
        let missing = files.key.with_file_name("no such file");
        let error = server_config(&missing, &files.key).unwrap_err();
        assert!(matches!(error, ListenerError::Unreadable { what: "certificate", .. }));
        assert!(error.to_string().contains("no such file"), "{error}");
    }
}
