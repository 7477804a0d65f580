//! Looks at the certificate that a listener presents, after it was not trusted, so that a message can name it.
//!
//! Rule: the handshake is always broken off: the verifier refuses every certificate. Nothing is ever sent over such a
//! connection.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::CertificateSummary;

/// How long the look may take.
const PATIENCE: Duration = Duration::from_secs(3);

/// The certificate that whoever listens at `address` presents for `name`; nothing when there is no telling.
pub async fn presented_certificate(name: &str, address: (&str, u16)) -> Option<CertificateSummary> {
    let name = ServerName::try_from(name.trim_matches(['[', ']']).to_owned()).ok()?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let look = Arc::new(Look { provider: Arc::clone(&provider), seen: OnceLock::new() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&look) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let handshake = async {
        let stream = TcpStream::connect(address).await.ok()?;
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()
    };
    // The handshake never succeeds; what matters is what the verifier has seen.
    let _ = tokio::time::timeout(PATIENCE, handshake).await;
    look.seen.get().cloned().flatten()
}

/// Refuses every certificate and remembers the first.
#[derive(Debug)]
struct Look {
    provider: Arc<CryptoProvider>,
    seen: OnceLock<Option<CertificateSummary>>,
}

impl ServerCertVerifier for Look {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let _ = self.seen.set(CertificateSummary::of(end_entity));
        Err(Error::General("only looked at".to_owned()))
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only looked at".to_owned()))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
