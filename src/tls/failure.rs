//! Why a connection did not come about, in words that say what to do.
//!
//! Rule: told apart by the typed errors below reqwest's own, never by the text of a message; hyper's words for a failed
//! name look-up and for a proxy are the exceptions, because their types are private. No URL gets into a message.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

/// Why a connection did not come about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFailure {
    /// The name has no address.
    #[error("the name cannot be resolved")]
    Name,
    /// Nobody listens there.
    #[error("the connection was refused")]
    Refused,
    /// No route to it.
    #[error("there is no route to it")]
    NoRoute,
    /// No answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// The connection was cut.
    #[error("the connection was cut")]
    Cut,
    /// Issuer not trusted.
    #[error("its certificate was issued by an authority that is not trusted here")]
    UnknownIssuer,
    /// Certificate expired, or not valid yet.
    #[error("its certificate {0}")]
    Validity(&'static str),
    /// The certificate is for another name.
    #[error("its certificate is for another name")]
    WrongName,
    /// An answer without TLS.
    #[error("it answers without TLS")]
    PlainText,
    /// Another fault of the certificate or the handshake.
    #[error("the TLS handshake failed: {0}")]
    Tls(String),
    /// The proxy on the way (`HTTPS_PROXY`) wants to know who asks, or somebody else.
    #[error("the proxy on the way wants another user or password (407)")]
    ProxyLogin,
    /// The proxy on the way does not connect to it.
    #[error("the proxy on the way does not connect to it")]
    ProxyRefused,
}

impl ConnectFailure {
    /// Whether certificate or handshake are at fault, and not the way there.
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::UnknownIssuer | Self::Validity(_) | Self::WrongName | Self::PlainText | Self::Tls(_))
    }

    /// Finds it in an error and the errors below it.
    pub fn find(error: &(dyn Error + 'static)) -> Option<Self> {
        let mut next = Some(error);
        let mut found = None;
        while let Some(error) = next {
            if let Some(tls) = error.downcast_ref::<rustls::Error>() {
                return Some(Self::of_tls(tls));
            }
            // `io::Error` hides what it wraps from `source`, which goes on with that one's own source.
            if let Some(io) = error.downcast_ref::<io::Error>() {
                if let Some(below) = io.get_ref().and_then(|below| Self::find(below)) {
                    return Some(below);
                }
                found = found.or(Self::of_io(io));
            }
            if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
                found = found.or(Some(Self::Cut));
            }
            match error.to_string().as_str() {
                "dns error" => return Some(Self::Name),
                "tunnel error: proxy authorization required" => return Some(Self::ProxyLogin),
                "tunnel error: unsuccessful" => return Some(Self::ProxyRefused),
                _ => {}
            }
            next = error.source();
        }
        found
    }

    fn of_io(error: &io::Error) -> Option<Self> {
        use io::ErrorKind as K;
        Some(match error.kind() {
            K::ConnectionRefused => Self::Refused,
            K::HostUnreachable | K::NetworkUnreachable | K::AddrNotAvailable | K::NetworkDown => Self::NoRoute,
            K::TimedOut => Self::TimedOut,
            K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof | K::NotConnected => Self::Cut,
            _ => return None,
        })
    }

    fn of_tls(error: &rustls::Error) -> Self {
        use CertificateError as C;
        match error {
            rustls::Error::InvalidCertificate(fault) => match fault {
                C::UnknownIssuer => Self::UnknownIssuer,
                C::Expired | C::ExpiredContext { .. } => Self::Validity("has expired"),
                C::NotValidYet | C::NotValidYetContext { .. } => Self::Validity("is not valid yet"),
                C::NotValidForName | C::NotValidForNameContext { .. } => Self::WrongName,
                other => Self::Tls(other.to_string()),
            },
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::PlainText,
            rustls::Error::AlertReceived(AlertDescription::ProtocolVersion) => {
                Self::Tls("it speaks no version from TLS 1.2 on".to_owned())
            }
            other => Self::Tls(other.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::ConnectFailure;

    #[test]
    fn a_tls_error_inside_io_errors_is_found() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls));
        assert_eq!(ConnectFailure::find(&wrapped), Some(ConnectFailure::UnknownIssuer));
    }

    #[test]
    fn kinds_of_io_errors_are_told_apart() {
        let find = |kind| ConnectFailure::find(&io::Error::from(kind));
        assert_eq!(find(io::ErrorKind::ConnectionRefused), Some(ConnectFailure::Refused));
        assert_eq!(find(io::ErrorKind::NetworkUnreachable), Some(ConnectFailure::NoRoute));
        assert_eq!(find(io::ErrorKind::PermissionDenied), None);
    }
}
