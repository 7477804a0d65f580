//! An `oci://` source in its parts, and what is wrong with how it is written.
//!
//! Rule: as OpenTofu reads it (`internal/getmodules/oci_getter.go` and ORAS' references, 1.12.6), but all faults at
//! once. The host stays byte for byte as written, because that is how credentials are looked up.

use super::address;
use super::oci_fault::{OciFault, Weight};

/// A source, and its faults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciSource {
    /// `host[:port]`, byte for byte as written.
    pub registry_host: String,
    /// The repository, without tag, digest and `//subdir`.
    pub repository: String,
    /// Which version.
    pub version: OciVersion,
    /// What is wrong or worth a word, in the order of the source.
    pub faults: Vec<OciFault>,
}

/// Which version of a module a source asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OciVersion {
    /// Neither tag nor digest: the tag `latest`.
    Latest,
    /// `?tag=`
    Tag(String),
    /// `?digest=`
    Digest(String),
}

impl OciSource {
    /// Reads a source.
    pub fn read(source: &str) -> Self {
        let mut faults = Vec::new();
        let (forced, rest) = address::split_forced(source);
        let (scheme, rest) = rest.split_once("://").map_or((None, rest), |(scheme, rest)| (Some(scheme), rest));
        // A getter's name is compared letter by letter, a scheme is not.
        let is_getter = forced.is_none() || source.starts_with("oci::");
        if !is_getter || !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case("oci")) {
            faults.push(OciFault::OtherScheme);
        }
        let (place, query) = rest.split('#').next().unwrap_or_default().split_once('?').unwrap_or((rest, ""));
        let place = place.split('#').next().unwrap_or_default();
        let (authority, path) = place.split_once('/').unwrap_or((place, ""));
        let registry_host = host(authority, &mut faults);
        // A package's subdirectory is none of the registry's business.
        let path = path.split_once("//").map_or(path, |(repository, _)| repository);
        let (repository, in_path) = repository(path, &mut faults);
        let version = version(query, in_path, &mut faults);
        Self { registry_host, repository, version, faults }
    }

    /// Whether OpenTofu cannot fetch it at all, as it is written.
    pub fn is_refused(&self) -> bool {
        self.has(Weight::Refused)
    }

    /// Whether OpenTofu itself has no credential for it, as it is written, so that only a proxy can add one.
    pub fn is_unmatched(&self) -> bool {
        self.has(Weight::Unmatched)
    }

    fn has(&self, weight: Weight) -> bool {
        self.faults.iter().any(|fault| fault.weight() == weight)
    }

    /// `repository:tag` or `repository@digest`, as registries' own tools write it.
    pub fn reference(&self) -> String {
        match &self.version {
            OciVersion::Latest => format!("{}:latest", self.repository),
            OciVersion::Tag(tag) => format!("{}:{tag}", self.repository),
            OciVersion::Digest(digest) => format!("{}@{digest}", self.repository),
        }
    }
}

fn host(authority: &str, faults: &mut Vec<OciFault>) -> String {
    let (user, host) = authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
    let found = [
        (host.is_empty(), OciFault::NoHost),
        (!host.is_empty() && !is_host(host), OciFault::BadHost),
        (user.is_some(), OciFault::UserInformation),
        (host.eq_ignore_ascii_case("docker.io"), OciFault::DockerIo),
        (host.bytes().any(|byte| byte.is_ascii_uppercase()), OciFault::HostCase),
        (host.ends_with(":443"), OciFault::DefaultPort),
    ];
    faults.extend(found.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)));
    host.to_owned()
}

/// Whether it can be a host with or without a port; an address of IPv6 stands in brackets.
fn is_host(host: &str) -> bool {
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|number| number > 0)
    };
    if let Some((address, rest)) = host.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
        let is_address = address.parse::<std::net::Ipv6Addr>().is_ok();
        return is_address && (rest.is_empty() || rest.strip_prefix(':').is_some_and(is_port));
    }
    let (name, port) = host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port)));
    let is_name = !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || ".-_".contains(letter));
    is_name && port.is_none_or(is_port)
}

/// The repository, and a version that stands behind it where none belongs.
fn repository(path: &str, faults: &mut Vec<OciFault>) -> (String, Option<OciVersion>) {
    let (name, in_path) = match (path.split_once('@'), path.rsplit_once(':')) {
        (Some((name, digest)), _) => (name, Some((OciFault::DigestInPath, OciVersion::Digest(digest.to_owned())))),
        (None, Some((name, tag))) => (name, Some((OciFault::TagInPath, OciVersion::Tag(tag.to_owned())))),
        (None, None) => (path, None),
    };
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        faults.push(OciFault::RepositoryCase);
    }
    if !is_repository(&name.to_ascii_lowercase()) {
        faults.push(OciFault::NoRepository);
    }
    let version = in_path.map(|(fault, version)| {
        faults.push(fault);
        version
    });
    (name.to_owned(), version)
}

fn version(query: &str, in_path: Option<OciVersion>, faults: &mut Vec<OciFault>) -> OciVersion {
    let (mut tag, mut digest) = (None, None);
    for argument in query.split('&').filter(|argument| !argument.is_empty()) {
        let fault = match argument.split_once('=').unwrap_or((argument, "")) {
            ("tag", value) => tag.replace(value).map(|_| OciFault::Twice),
            ("digest", value) => digest.replace(value).map(|_| OciFault::Twice),
            _ => Some(OciFault::OtherArgument),
        };
        faults.extend(fault.filter(|fault| !faults.contains(fault)));
    }
    if tag.is_some() && digest.is_some() {
        faults.push(OciFault::TagAndDigest);
    }
    if tag.is_some_and(|tag| !is_tag(tag)) {
        faults.push(OciFault::BadTag);
    }
    if digest.is_some_and(|digest| !is_digest(digest)) {
        faults.push(OciFault::BadDigest);
    }
    match (digest, tag, in_path) {
        (Some(digest), _, _) => OciVersion::Digest(digest.to_owned()),
        (None, Some(tag), _) => OciVersion::Tag(tag.to_owned()),
        (None, None, Some(version)) => version,
        (None, None, None) => {
            faults.push(OciFault::NoVersion);
            OciVersion::Latest
        }
    }
}

/// The grammar of the distribution specification.
fn is_repository(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.split('/').all(|word| {
        let bytes = word.as_bytes();
        let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        let mut separators = word.split(|letter: char| letter.is_ascii_alphanumeric());
        let is_one = |between: &str| matches!(between, "." | "_" | "__") || between.bytes().all(|byte| byte == b'-');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner) && separators.all(is_one)
    })
}

fn is_tag(tag: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(first)
        && tag.bytes().all(|byte| first(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let Some((algorithm, digits)) = digest.split_once(':') else { return false };
    let length = match algorithm {
        "sha256" => 64,
        "sha512" => 128,
        _ => return false,
    };
    digits.len() == length && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::OciFault as F;
    use super::{OciSource, OciVersion};

    fn faults(source: &str) -> Vec<F> {
        OciSource::read(source).faults
    }

    #[test]
    fn a_good_source_is_taken_apart() {
        let read = OciSource::read("oci://r.example:5000/team/net//modules/x?tag=1.4.0");
        assert_eq!((read.registry_host.as_str(), read.repository.as_str()), ("r.example:5000", "team/net"));
        assert_eq!(
            (read.version.clone(), read.reference()),
            (OciVersion::Tag("1.4.0".into()), "team/net:1.4.0".into())
        );
        assert!(read.faults.is_empty() && !read.is_refused() && !read.is_unmatched());
        let digest = format!("sha256:{}", "0a".repeat(32));
        let read = OciSource::read(&format!("oci://h/a?digest={digest}"));
        assert_eq!((read.faults.len(), read.reference()), (0, format!("a@{digest}")));
    }

    #[test]
    fn each_fault_is_found() {
        for (source, expected) in [
            ("oci://docker.io/org/a?tag=1", vec![F::DockerIo]),
            ("oci://DOCKER.io/org/a?tag=1", vec![F::DockerIo, F::HostCase]),
            ("oci://GHCR.io/org/a?tag=1", vec![F::HostCase]),
            ("oci://ghcr.io/Org/a?tag=1", vec![F::RepositoryCase]),
            ("oci://ghcr.io:443/org/a?tag=1", vec![F::DefaultPort]),
            ("oci://u:p@ghcr.io/org/a?tag=1", vec![F::UserInformation]),
            ("oci://ghcr.io/org/a:1.0", vec![F::TagInPath]),
            ("oci://ghcr.io/org/a:1.0?tag=1.0", vec![F::TagInPath]),
            ("oci://ghcr.io/org/a@sha256:12", vec![F::DigestInPath]),
            ("oci://ghcr.io/org/a?tag=1&digest=sha256:12", vec![F::TagAndDigest, F::BadDigest]),
            ("oci://ghcr.io/org/a?ref=1&version=2", vec![F::OtherArgument, F::NoVersion]),
            ("oci://ghcr.io/org/a?tag=-1", vec![F::BadTag]),
            ("oci://ghcr.io/org/a?tag=", vec![F::BadTag]),
            ("oci://ghcr.io/org/a", vec![F::NoVersion]),
            ("oci://ghcr.io/?tag=1", vec![F::NoRepository]),
            ("oci://ghcr.io?tag=1", vec![F::NoRepository]),
            ("oci://ghcr.io/a/../b?tag=1", vec![F::NoRepository]),
            ("oci:///a?tag=1", vec![F::NoHost]),
            ("oci://ghcr.io/a?tag=1&tag=2", vec![F::Twice]),
            ("oci://ghcr.io/a?digest=sha256:12&tag=1&tag=1&tag=2", vec![F::Twice, F::TagAndDigest, F::BadDigest]),
            ("oci::https://ghcr.io/a?tag=1", vec![F::OtherScheme]),
            ("oci::ghcr.io/a?tag=1", vec![F::OtherScheme]),
            ("OCI::oci://ghcr.io/a?tag=1", vec![F::OtherScheme]),
            ("oci::oci://ghcr.io/a?tag=1", vec![]),
            ("OCI://ghcr.io/a?tag=1", vec![]),
            ("oci://ghcr.io:abc/a?tag=1", vec![F::BadHost]),
            ("oci://gh cr.io/a?tag=1", vec![F::BadHost]),
            ("oci://ghcr.io:99999/a?tag=1", vec![F::BadHost]),
            ("oci://ghcr.io:0/a?tag=1", vec![F::BadHost]),
            ("oci://ghcr.io:+1/a?tag=1", vec![F::BadHost]),
            ("oci://ghcr.io:/a?tag=1", vec![F::BadHost]),
            ("oci://:5000/a?tag=1", vec![F::BadHost]),
            ("oci://[::1]:5000/a?tag=1", vec![]),
            ("oci://[::1]5000/a?tag=1", vec![F::BadHost]),
            ("oci://my_host.example:5000/a__b/c--d/e.f_g?tag=1", vec![]),
            ("oci://ghcr.io/a..b?tag=1", vec![F::NoRepository]),
            ("oci://ghcr.io/a/b___c?tag=1", vec![F::NoRepository]),
        ] {
            assert_eq!(faults(source), expected, "{source}");
        }
    }

    #[test]
    fn nothing_makes_it_stumble() {
        use proptest::prelude::*;
        proptest!(|(text in "(oci::)?(oci://)?[a-zA-Z0-9@:/?#&=._é%-]{0,60}")| {
            let read = OciSource::read(&text);
            // Whatever is taken for good is what a registry's own tools would take.
            if read.faults.is_empty() {
                prop_assert!(!read.registry_host.is_empty() && read.repository == read.repository.to_lowercase());
                prop_assert!(!read.repository.contains([':', '@', '?', '#', '%']), "{read:?}");
            }
        });
    }

    #[test]
    fn what_is_worth_a_word_alone_does_not_stop_a_fetch() {
        for source in ["oci://h:443/a?tag=1", "oci://h/a", "oci://u@h/a?tag=1"] {
            let read = OciSource::read(source);
            assert!(!read.is_refused() && !read.is_unmatched(), "{source}");
        }
        for source in ["oci://h/a:1", "oci://h/A?tag=1", "", "oci://", "?#", "oci://h/a?x", "oci://h:x/a?tag=1"] {
            assert!(OciSource::read(source).is_refused(), "{source}");
        }
        for source in ["oci://docker.io/a?tag=1", "oci://H/a?tag=1"] {
            let read = OciSource::read(source);
            assert!(!read.is_refused() && read.is_unmatched(), "{source}");
        }
    }
}
