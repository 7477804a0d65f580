//! The certificate authority of one fetch step, which vouches for this run's registry hosts towards its child alone.
//!
//! Rule: its key is never written anywhere and is gone as soon as the certificates are made; all of it is worth nothing
//! after two days, should anything keep the certificate.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;

use super::BrokerError;
use crate::protocol::Timestamp;

/// What people see when they look into the bundle.
const NAME: &str = "nigari, for one fetch step";

/// The authority, for as long as certificates are made.
pub(super) struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    days: [(i32, u8, u8); 2],
}

impl Authority {
    /// Valid from yesterday to the day after tomorrow: clocks of containers may differ from the host's.
    pub(super) fn new(now: Timestamp) -> Result<Self, BrokerError> {
        let days = [day(now, -1)?, day(now, 2)?];
        let key = KeyPair::generate()?;
        let mut parameters = parameters(Vec::new(), NAME, days)?;
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let pem = parameters.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(parameters, key), days })
    }

    /// Its certificate.
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// TLS as that host: HTTP/1.1 alone.
    pub(super) fn listener(&self, name: &str) -> Result<Arc<ServerConfig>, BrokerError> {
        let key = KeyPair::generate()?;
        let mut parameters = parameters(vec![name.to_owned()], name, self.days)?;
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        let key = PrivateKeyDer::from(rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn parameters(names: Vec<String>, shown: &str, days: [(i32, u8, u8); 2]) -> Result<CertificateParams, BrokerError> {
    let mut parameters = CertificateParams::new(names)?;
    // rcgen's own name would be there otherwise. A common name has 64 characters at most.
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, shown.chars().take(64).collect::<String>());
    let [from, until] = days.map(|(year, month, day)| date_time_ymd(year, month, day));
    parameters.not_before = from;
    parameters.not_after = until;
    Ok(parameters)
}

fn day(now: Timestamp, days: i64) -> Result<(i32, u8, u8), BrokerError> {
    let at = jiff::Timestamp::from_microsecond(now + days * 24 * 3600 * 1_000_000).map_err(|_| BrokerError::Clock)?;
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    Ok((i32::from(date.year()), date.month().unsigned_abs(), date.day().unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::Authority;
    use crate::clock::Clock;
    use crate::tls::CertificateSummary;
    use rustls::pki_types::CertificateDer;
    use rustls::pki_types::pem::PemObject as _;

    #[test]
    fn the_authority_is_short_lived_and_no_text_has_its_key() {
        crate::tls::install_provider();
        let now = Clock::new().now();
        let authority = Authority::new(now).unwrap();
        assert_eq!(crate::tls::check_ca_pem(authority.pem()).unwrap(), 1);
        let der = CertificateDer::from_pem_slice(authority.pem().as_bytes()).unwrap();
        let summary = CertificateSummary::of(&der).unwrap();
        let hours = |micros: i64| micros / 3_600_000_000;
        assert!(summary.not_before <= now && hours(now - summary.not_before) <= 48, "{summary:?}");
        assert!((24..=72).contains(&hours(summary.not_after - now)), "{summary:?}");
        for name in ["ghcr.io", "registry.localhost", "10.0.0.5", "::1", &"a".repeat(60), "my_host"] {
            assert_eq!(authority.listener(name).unwrap().alpn_protocols, [b"http/1.1"], "{name}");
        }
        assert!(Authority::new(i64::MAX / 2).is_err());
    }
}
