//! Whom clients trust: the host's roots, and a private authority where one is given.
//!
//! Rule: in addition, never instead.

use std::sync::Arc;

use rustls::pki_types::pem::{PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, pem};
use rustls::{ClientConfig, RootCertStore};

use super::CertificateSummary;
use super::host_roots::host_roots;

/// A text that is not one or more certificates of authorities in PEM.
#[derive(Debug, thiserror::Error)]
pub enum InvalidCa {
    /// No `BEGIN CERTIFICATE` in it.
    #[error("there is no certificate in it; hint: PEM text that begins with `-----BEGIN CERTIFICATE-----`")]
    NoCertificate,
    /// A private key came along.
    #[error("it contains a private key; hint: give the authority's certificate alone, and consider that key known")]
    PrivateKey,
    /// Something else in PEM.
    #[error("it contains a PEM section that is not a certificate; hint: give certificates alone")]
    OtherSection,
    /// Not PEM, or broken.
    #[error("certificate {number} is not readable as PEM; hint: copy the file as it is, with its BEGIN and END lines")]
    Pem {
        /// Counted from 1.
        number: usize,
        /// What the reader says.
        #[source]
        source: pem::Error,
    },
    /// PEM, but not a certificate that could be trusted.
    #[error("certificate {number}{} cannot be read as an X.509 certificate", named(.subject))]
    Certificate {
        /// Counted from 1.
        number: usize,
        /// Its subject, if that much is readable.
        subject: String,
        /// What rustls says.
        #[source]
        source: rustls::Error,
    },
    /// There is nobody whom this host trusts.
    #[error("this host has no root certificates; hint: install its package of them (`ca-certificates`)")]
    NoRoots,
    /// TLS itself does not work.
    #[error("no TLS with this host's cryptography")]
    Host(#[source] rustls::Error),
    /// reqwest does not take it.
    #[error("certificate {number} is refused")]
    Refused {
        /// Counted from 1.
        number: usize,
        /// What reqwest says.
        #[source]
        source: reqwest::Error,
    },
}

fn named(subject: &str) -> String {
    if subject.is_empty() { String::new() } else { format!(" (`{subject}`)") }
}

/// What the certificates of a private authority say of themselves; for people.
pub fn summaries_of(text: &str) -> Vec<CertificateSummary> {
    let found = certificates(text).unwrap_or_default();
    found.iter().filter_map(|der| CertificateSummary::of(der)).collect()
}

/// Checks a private authority: one or more certificates in PEM, nothing else. Gives their number.
pub fn check_ca_pem(text: &str) -> Result<usize, InvalidCa> {
    certificates(text).map(|found| found.len())
}

/// What to give to reqwest's `tls_certs_merge`, which adds it to the host's roots: the certificates of a private
/// authority, checked. Nothing for `None` or an empty text.
pub fn roots_with(extra_pem: Option<&str>) -> Result<Vec<reqwest::Certificate>, InvalidCa> {
    let Some(text) = extra_pem.filter(|text| !text.trim().is_empty()) else { return Ok(Vec::new()) };
    certificates(text)?
        .iter()
        .enumerate()
        .map(|(index, der)| {
            reqwest::Certificate::from_der(der).map_err(|source| InvalidCa::Refused { number: index + 1, source })
        })
        .collect()
}

/// TLS of a client with the host's roots and a private authority in addition: what reqwest would make by itself, but
/// without reading the host's roots from disk each time.
pub fn client_config(extra_pem: Option<&str>) -> Result<ClientConfig, InvalidCa> {
    let host = host_roots();
    let trusted = match extra_pem.filter(|text| !text.trim().is_empty()) {
        Some(text) => {
            let mut trusted = anchors(text)?.1;
            trusted.roots.extend(host.roots.iter().cloned());
            Arc::new(trusted)
        }
        None if host.is_empty() => return Err(InvalidCa::NoRoots),
        None => host,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(builder.map_err(InvalidCa::Host)?.with_root_certificates(trusted).with_no_client_auth())
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, InvalidCa> {
    anchors(text).map(|(found, _)| found)
}

/// Each certificate, and all of them as somebody to trust.
fn anchors(text: &str) -> Result<(Vec<CertificateDer<'static>>, RootCertStore), InvalidCa> {
    let mut found = Vec::new();
    let mut trusted = RootCertStore::empty();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text.as_bytes()) {
        let number = found.len() + 1;
        let (kind, der) = section.map_err(|source| InvalidCa::Pem { number, source })?;
        match kind {
            SectionKind::Certificate => {}
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(InvalidCa::PrivateKey);
            }
            _ => return Err(InvalidCa::OtherSection),
        }
        let der = CertificateDer::from(der);
        trusted.add(der.clone()).map_err(|source| {
            let subject = CertificateSummary::of(&der).map(|summary| summary.subject).unwrap_or_default();
            InvalidCa::Certificate { number, subject, source }
        })?;
        found.push(der);
    }
    if text.contains("PRIVATE KEY-----") {
        return Err(InvalidCa::PrivateKey);
    }
    if found.is_empty() { Err(InvalidCa::NoCertificate) } else { Ok((found, trusted)) }
}

#[cfg(test)]
mod tests {
    use super::{InvalidCa, check_ca_pem, roots_with};

    fn authority() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    #[test]
    fn certificates_are_counted() {
        let (one, _) = authority();
        assert_eq!(check_ca_pem(&one).unwrap(), 1);
        assert_eq!(check_ca_pem(&format!("# ours\n{one}\n{}", authority().0)).unwrap(), 2);
        assert_eq!(roots_with(Some(&one)).unwrap().len(), 1);
        assert_eq!(roots_with(Some(" \n")).unwrap().len(), 0);
        assert_eq!(roots_with(None).unwrap().len(), 0);
    }

    #[test]
    fn what_is_not_an_authority_is_told_apart() {
        let (certificate, key) = authority();
        assert!(matches!(check_ca_pem(""), Err(InvalidCa::NoCertificate)));
        assert!(matches!(check_ca_pem("hello"), Err(InvalidCa::NoCertificate)));
        assert!(matches!(check_ca_pem(&format!("{certificate}{key}")), Err(InvalidCa::PrivateKey)));
        let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
        assert!(matches!(check_ca_pem(&format!("{certificate}{encrypted}")), Err(InvalidCa::PrivateKey)));
        let cut = &certificate[..certificate.len() - 30];
        assert!(matches!(check_ca_pem(cut), Err(InvalidCa::Pem { number: 1, .. })));
        let public = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n";
        assert!(matches!(check_ca_pem(public), Err(InvalidCa::OtherSection)));
    }

    #[test]
    fn the_broken_one_of_several_is_named() {
        let (certificate, _) = authority();
        let broken = "-----BEGIN CERTIFICATE-----\naGVsbG8gd29ybGQ=\n-----END CERTIFICATE-----\n";
        let error = check_ca_pem(&format!("{certificate}{broken}")).unwrap_err();
        assert!(matches!(error, InvalidCa::Certificate { number: 2, .. }), "{error}");
        assert!(error.to_string().starts_with("certificate 2 "), "{error}");
    }
}
