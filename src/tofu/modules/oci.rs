//! An `oci://` source in its parts, and what is wrong with how it is written.
//!
//! Rule: as OpenTofu reads it (`internal/getmodules/oci_getter.go` and ORAS' references, 1.12.6), but all faults at
//! once. The host stays byte for byte as written, because that is how credentials are looked up.

use super::address;

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

/// One thing about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OciFault {
    /// It does not begin with `oci://` and a host.
    NoHost,
    /// `user@` or `user:password@`.
    UserInformation,
    /// `docker.io`.
    DockerIo,
    /// A host that is not in lower case.
    HostCase,
    /// `:443`.
    DefaultPort,
    /// What stands for a repository cannot be one.
    NoRepository,
    /// A repository that is not in lower case.
    RepositoryCase,
    /// `repository:tag`.
    TagInPath,
    /// `repository@sha256:…`.
    DigestInPath,
    /// `tag` and `digest`.
    TagAndDigest,
    /// An argument that is neither.
    OtherArgument,
    /// No tag can look so.
    BadTag,
    /// No digest can look so.
    BadDigest,
    /// Neither tag nor digest.
    NoVersion,
}

impl OciFault {
    /// Whether OpenTofu cannot fetch the source with a credential at all.
    pub const fn is_fatal(self) -> bool {
        !matches!(self, Self::UserInformation | Self::DefaultPort | Self::NoVersion)
    }

    /// What it means.
    pub const fn message(self) -> &'static str {
        match self {
            Self::NoHost => "there is no registry host in it",
            Self::UserInformation => "OpenTofu ignores a user or password in the source, and shows it in its messages",
            Self::DockerIo => "OpenTofu never sends a credential to `docker.io`, whatever is stored",
            Self::HostCase => "OpenTofu compares hosts letter by letter, and credentials are stored in lower case",
            Self::DefaultPort => "`:443` is the usual port, written out; other tools do not take it for the same host",
            Self::NoRepository => "what follows the host is not a repository",
            Self::RepositoryCase => "repositories are in lower case; OpenTofu refuses others",
            Self::TagInPath => "OpenTofu does not take `:tag` behind the repository",
            Self::DigestInPath => "OpenTofu does not take `@digest` behind the repository",
            Self::TagAndDigest => "OpenTofu takes a tag or a digest, not both",
            Self::OtherArgument => "OpenTofu takes no arguments but `tag` and `digest`",
            Self::BadTag => "no tag can look like that",
            Self::BadDigest => "no digest can look like that",
            Self::NoVersion => "without a tag it is `latest`, which may be another module tomorrow",
        }
    }

    /// What to write instead.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::NoHost => "`oci://HOST/REPOSITORY?tag=TAG`",
            Self::UserInformation => "leave it out, and change that password; `nigari registry add` stores one",
            Self::DockerIo => "write `oci://registry-1.docker.io/…`",
            Self::HostCase | Self::RepositoryCase => "write it in lower case",
            Self::DefaultPort => "leave `:443` out",
            Self::NoRepository => "words of lower-case letters, digits, `.`, `_`, `-`, joined by `/`",
            Self::TagInPath => "write `?tag=TAG`",
            Self::DigestInPath => "write `?digest=sha256:…`",
            Self::TagAndDigest => "keep the digest: it never means another module",
            Self::OtherArgument => "leave it out; versions are tags",
            Self::BadTag => "letters, digits, `.`, `_`, `-`, at most 128, not beginning with `.` or `-`",
            Self::BadDigest => "`sha256:` and 64 hexadecimal digits in lower case",
            Self::NoVersion => "write `?tag=TAG` or, better, `?digest=sha256:…`",
        }
    }
}

impl OciSource {
    /// Reads a source.
    pub fn read(source: &str) -> Self {
        let mut faults = Vec::new();
        let (_, rest) = address::split_forced(source);
        let rest = rest.split_once("://").map_or(rest, |(_, rest)| rest);
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

    /// Whether OpenTofu cannot fetch it with a credential, as it is written.
    pub fn is_hopeless(&self) -> bool {
        self.faults.iter().any(|fault| fault.is_fatal())
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
        (user.is_some(), OciFault::UserInformation),
        (host.eq_ignore_ascii_case("docker.io"), OciFault::DockerIo),
        (host.bytes().any(|byte| byte.is_ascii_uppercase()), OciFault::HostCase),
        (host.ends_with(":443"), OciFault::DefaultPort),
    ];
    faults.extend(found.into_iter().filter_map(|(is_so, fault)| is_so.then_some(fault)));
    host.to_owned()
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
        match argument.split_once('=').unwrap_or((argument, "")) {
            ("tag", value) => tag = Some(value),
            ("digest", value) => digest = Some(value),
            _ if faults.contains(&OciFault::OtherArgument) => {}
            _ => faults.push(OciFault::OtherArgument),
        }
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

/// The grammar of the distribution specification, without its rules for doubled separators.
fn is_repository(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    name.split('/').all(|word| {
        let bytes = word.as_bytes();
        let inner = |byte: &u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-');
        edge(bytes.first()) && edge(bytes.last()) && bytes.iter().all(inner)
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
        assert!(read.faults.is_empty() && !read.is_hopeless());
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
            assert!(!OciSource::read(source).is_hopeless(), "{source}");
        }
        for source in ["oci://docker.io/a?tag=1", "oci://h/a:1", "oci://h/A?tag=1", "", "oci://", "?#", "oci://h/a?x"] {
            assert!(OciSource::read(source).is_hopeless(), "{source}");
        }
    }
}
