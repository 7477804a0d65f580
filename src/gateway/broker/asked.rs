//! What a request to a registry is about, by its path (distribution specification, section 3).
//!
//! Rule: only a path of exactly this form chooses a credential; every other gets none.

use crate::registry::scope::is_repository;
use crate::registry::upstream::Place;

/// What a request is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// `/v2/`.
    Base,
    /// `/v2/<repository>/manifests/<reference>`.
    Manifest {
        /// `team/net`.
        repository: String,
        /// Tag or digest.
        reference: String,
    },
    /// A blob, tags or referrers.
    Other {
        /// `team/net`.
        repository: String,
    },
    /// Not of the distribution API.
    Elsewhere,
}

impl Asked {
    /// Reads a path without its query.
    pub(super) fn of(path: &str) -> Self {
        let Some(rest) = path.strip_prefix("/v2/") else {
            return if path == "/v2" { Self::Base } else { Self::Elsewhere };
        };
        if rest.is_empty() {
            return Self::Base;
        }
        let mut from_end = rest.rsplitn(3, '/');
        let (Some(reference), Some(kind), Some(repository)) = (from_end.next(), from_end.next(), from_end.next())
        else {
            return Self::Elsewhere;
        };
        if !is_plain(reference) || !is_repository(repository) {
            return Self::Elsewhere;
        }
        let repository = repository.to_owned();
        match kind {
            "manifests" => Self::Manifest { repository, reference: reference.to_owned() },
            "blobs" | "tags" | "referrers" => Self::Other { repository },
            _ => Self::Elsewhere,
        }
    }

    /// Who answers for it; `None` for what is not of the distribution API.
    pub(super) fn place(&self) -> Option<Place> {
        match self {
            Self::Base => Some(Place::Base),
            Self::Manifest { repository, .. } | Self::Other { repository } => {
                Some(Place::Repository(repository.clone()))
            }
            Self::Elsewhere => None,
        }
    }

    /// The repository, if it is about one.
    pub(super) fn repository(&self) -> Option<&str> {
        match self {
            Self::Manifest { repository, .. } | Self::Other { repository } => Some(repository),
            Self::Base | Self::Elsewhere => None,
        }
    }
}

/// A tag, a digest or `list`: nothing that somebody on the way could read as another path (`..%2f`, `..;`).
fn is_plain(reference: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b':');
    !reference.is_empty() && !reference.starts_with('.') && reference.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Asked;

    #[test]
    fn the_distribution_api_is_recognised() {
        let manifest = |repository: &str, reference: &str| Asked::Manifest {
            repository: repository.into(),
            reference: reference.into(),
        };
        let other = |repository: &str| Asked::Other { repository: repository.into() };
        for (path, asked) in [
            ("/v2/", Asked::Base),
            ("/v2", Asked::Base),
            ("/v2/net/manifests/1.0.0", manifest("net", "1.0.0")),
            ("/v2/a/b/c/manifests/sha256:00", manifest("a/b/c", "sha256:00")),
            ("/v2/a/manifests/manifests/x", manifest("a/manifests", "x")),
            ("/v2/a/b/blobs/sha256:00", other("a/b")),
            ("/v2/a/tags/list", other("a")),
            ("/v2/a/referrers/sha256:00", other("a")),
        ] {
            assert_eq!(Asked::of(path), asked, "{path}");
        }
    }

    #[test]
    fn everything_else_gets_no_credential() {
        for path in [
            "",
            "/",
            "/v1/",
            "/v2x/",
            "//v2/a/tags/list",
            "/v2/_catalog",
            "/v2/team/x/blobs/..%2f..%2f..%2fother%2fblobs%2fsha256:00",
            "/v2/team/x/blobs/..;",
            "/v2/team/x/manifests/..%5c..",
            "/v2/team/x/manifests/..",
            "/v2/a",
            "/v2/manifests/x",
            "/v2//manifests/x",
            "/v2/A/manifests/x",
            "/v2/a/manifests/",
            "/v2/a/../b/manifests/x",
            "/v2/a%2fb/manifests/x",
            "/v2/a/blobs/uploads/1",
            "/v2/a/manifests/x/y",
            "/token",
            "/V2/a/manifests/x",
            "/v2/a b/manifests/x",
        ] {
            assert_eq!(Asked::of(path), Asked::Elsewhere, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_repository_is_always_of_the_grammar(path in "(/v2/)?[a-zA-Z0-9/._%-]{0,40}(/(manifests|blobs|tags)/[a-z]{0,3})?") {
            if let Some(repository) = Asked::of(&path).repository() {
                prop_assert!(repository.split('/').all(|word| !word.is_empty() && !word.starts_with('.')));
                prop_assert!(path.contains(repository));
            }
        }
    }
}
