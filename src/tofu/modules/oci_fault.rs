//! What can be wrong with how an `oci://` source is written.
//!
//! Rule: each fault says what it means and what to write instead, and whether OpenTofu can fetch such a source at all.

/// One thing about a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OciFault {
    /// Something else than `oci://` stands before the host.
    OtherScheme,
    /// It does not begin with `oci://` and a host.
    NoHost,
    /// What stands for a host cannot be one, or its port cannot.
    BadHost,
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
    /// `tag` twice, or `digest` twice.
    Twice,
    /// An argument that is neither.
    OtherArgument,
    /// No tag can look so.
    BadTag,
    /// No digest can look so.
    BadDigest,
    /// Neither tag nor digest.
    NoVersion,
}

/// What a fault means for a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// There is no fetch.
    Refused,
    /// OpenTofu has no credential for it. One that is added on the wire is added all the same.
    Unmatched,
    /// It is worth a word.
    Told,
}

impl OciFault {
    /// What it means for a fetch.
    pub const fn weight(self) -> Weight {
        match self {
            Self::UserInformation | Self::DefaultPort | Self::NoVersion => Weight::Told,
            Self::DockerIo | Self::HostCase => Weight::Unmatched,
            _ => Weight::Refused,
        }
    }

    /// What it means.
    pub const fn message(self) -> &'static str {
        match self {
            Self::OtherScheme => "OpenTofu takes nothing but `oci://` for a source in an OCI registry",
            Self::NoHost => "there is no registry host in it",
            Self::BadHost => "no host can look like that, or no port",
            Self::UserInformation => "OpenTofu ignores a user or password in the source, and shows it in its messages",
            Self::DockerIo => {
                "OpenTofu never sends a credential to `docker.io`, whatever is stored: only the broker of a run adds one"
            }
            Self::HostCase => {
                "OpenTofu compares hosts letter by letter, and credentials are stored in lower case: only the broker of a \
                 run adds one"
            }
            Self::DefaultPort => "`:443` is the usual port, written out; other tools do not take it for the same host",
            Self::NoRepository => "what follows the host is not a repository",
            Self::RepositoryCase => "repositories are in lower case; OpenTofu refuses others",
            Self::TagInPath => "OpenTofu does not take `:tag` behind the repository",
            Self::DigestInPath => "OpenTofu does not take `@digest` behind the repository",
            Self::TagAndDigest => "OpenTofu takes a tag or a digest, not both",
            Self::Twice => "OpenTofu takes one `tag` or one `digest`, and refuses two of them",
            Self::OtherArgument => "OpenTofu takes no arguments but `tag` and `digest`",
            Self::BadTag => "no tag can look like that",
            Self::BadDigest => "no digest can look like that",
            Self::NoVersion => "without a tag it is `latest`, which may be another module tomorrow",
        }
    }

    /// What to write instead.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::OtherScheme | Self::NoHost => "write `oci://HOST/REPOSITORY?tag=TAG`",
            Self::BadHost => "write `HOST` or `HOST:PORT`, with a port from 1 to 65535",
            Self::UserInformation => "leave it out, and change that password; `nigari registry add` stores one",
            Self::DockerIo => "write `oci://registry-1.docker.io/…`",
            Self::HostCase | Self::RepositoryCase => "write it in lower case",
            Self::DefaultPort => "leave `:443` out",
            Self::NoRepository => "words of lower-case letters, digits, `.`, `_`, `-`, joined by `/`",
            Self::TagInPath => "write `?tag=TAG`",
            Self::DigestInPath => "write `?digest=sha256:…`",
            Self::TagAndDigest => "keep the digest: it never means another module",
            Self::Twice => "keep one of them",
            Self::OtherArgument => "leave it out; versions are tags",
            Self::BadTag => "letters, digits, `.`, `_`, `-`, at most 128, not beginning with `.` or `-`",
            Self::BadDigest => "`sha256:` and 64 hexadecimal digits in lower case",
            Self::NoVersion => "write `?tag=TAG` or, better, `?digest=sha256:…`",
        }
    }
}
