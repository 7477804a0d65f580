//! What a certificate says about itself: subject, issuer, validity. For messages only.
//!
//! Rule: nothing is decided by what is read here; whether a certificate is trusted is rustls' answer. A certificate
//! that cannot be read has no summary, and the message goes without.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// `id-at-commonName` and `id-at-organizationName` (RFC 5280, appendix A).
const ID_CN: &[u8] = &[0x55, 0x04, 0x03];
const ID_O: &[u8] = &[0x55, 0x04, 0x0a];
/// Characters of a name that are shown; certificates come from strangers.
const SHOWN: usize = 100;

/// Subject, issuer and validity of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// Common name, or organisation, of the subject; may be empty.
    pub subject: String,
    /// The same of the issuer.
    pub issuer: String,
    /// Valid from, microseconds since the Unix epoch.
    pub not_before: i64,
    /// Valid until, microseconds since the Unix epoch.
    pub not_after: i64,
}

impl CertificateSummary {
    /// Reads the fields of a DER certificate (RFC 5280, section 4.1).
    pub fn of(der: &[u8]) -> Option<Self> {
        let (0x30, certificate, _) = element(der)? else { return None };
        let (0x30, body, _) = element(certificate)? else { return None };
        let mut rest = body;
        if let (0xa0, _, after) = element(rest)? {
            rest = after;
        }
        // Serial number and signature algorithm.
        let (_, _, rest) = element(rest)?;
        let (_, _, rest) = element(rest)?;
        let (0x30, issuer, rest) = element(rest)? else { return None };
        let (0x30, validity, rest) = element(rest)? else { return None };
        let (0x30, subject, _) = element(rest)? else { return None };
        let (kind, begin, after) = element(validity)?;
        let not_before = time(kind, begin)?;
        let (kind, end, _) = element(after)?;
        Some(Self { subject: name(subject), issuer: name(issuer), not_before, not_after: time(kind, end)? })
    }
}

/// One DER element: tag, content, what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = der.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0_usize, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// The common name of a distinguished name, else its organisation, else nothing.
fn name(mut distinguished: &[u8]) -> String {
    let mut organization = String::new();
    while let Some((_, set, rest)) = element(distinguished) {
        distinguished = rest;
        let Some((0x30, attribute, _)) = element(set) else { continue };
        let Some((0x06, kind, value)) = element(attribute) else { continue };
        let Some((_, text, _)) = element(value) else { continue };
        let shown = || String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).take(SHOWN).collect();
        match kind {
            ID_CN => return shown(),
            ID_O => organization = shown(),
            _ => {}
        }
    }
    organization
}

/// `UTCTime` (two digits of a year, 50 and more are of the last century) or `GeneralizedTime`, both ending in `Z`.
fn time(kind: u8, content: &[u8]) -> Option<i64> {
    let text = str::from_utf8(content).ok()?.strip_suffix('Z')?;
    let text = match kind {
        0x17 if text.get(..2)? >= "50" => format!("19{text}"),
        0x17 => format!("20{text}"),
        0x18 => text.to_owned(),
        _ => return None,
    };
    let at: DateTime = DateTime::strptime("%Y%m%d%H%M%S", text).ok()?;
    TimeZone::UTC.to_timestamp(at).ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::CertificateSummary;

    fn certificate() -> rcgen::Certificate {
        let mut parameters = rcgen::CertificateParams::new(vec!["registry.example".to_owned()]).unwrap();
        parameters.distinguished_name.push(rcgen::DnType::CommonName, "Ärger Root");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 2);
        parameters.not_after = rcgen::date_time_ymd(2051, 1, 2);
        parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
    }

    #[test]
    fn names_and_both_kinds_of_time_are_read() {
        let summary = CertificateSummary::of(certificate().der()).unwrap();
        assert_eq!((summary.subject.as_str(), summary.issuer.as_str()), ("Ärger Root", "Ärger Root"));
        // 2020-01-02 is a `UTCTime`, 2051-01-02 a `GeneralizedTime`.
        assert_eq!((summary.not_before, summary.not_after), (1_577_923_200_000_000, 2_556_230_400_000_000));
    }

    #[test]
    fn a_broken_certificate_has_no_summary_and_does_no_harm() {
        let certificate = certificate();
        let der: &[u8] = certificate.der();
        for end in 0..der.len() {
            assert!(CertificateSummary::of(&der[..end]).is_none(), "{end}");
        }
        for at in 0..der.len() {
            let mut broken = der.to_vec();
            broken[at] ^= 0xff;
            let _ = CertificateSummary::of(&broken);
        }
    }
}
