//! What a module source is, from its text alone.
//!
//! Rule: as tofu decides it (`ParseModuleSource` and the go-getter detectors of 1.12.6): local prefixes first, then a
//! registry address, then everything else. Hosts stay byte for byte as written, because tofu looks credentials up so.

/// What kind of address a module source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory of the configuration itself.
    Local,
    /// `oci://HOST[:PORT]/REPOSITORY`.
    Oci {
        /// `host[:port]`, byte for byte as written.
        registry_host: String,
        /// Repository path without leading slash, tag, digest or `//subdir`.
        repository: String,
    },
    /// A module registry: `NAMESPACE/NAME/SYSTEM` or `HOST/NAMESPACE/NAME/SYSTEM`.
    Registry {
        /// The registry's host, `registry.opentofu.org` if none is written.
        host: String,
    },
    /// git: by `git::`, in ssh form, or on a host that is known for it.
    Git,
    /// An archive over HTTP(S).
    Http,
    /// Mercurial, S3, GCS or something that only tofu can tell.
    Other,
    /// An expression whose value only tofu knows.
    Expression,
}

/// The registry that an address without a host means.
const DEFAULT_REGISTRY: &str = "registry.opentofu.org";
/// Hosts that are never module registries.
const GIT_HOSTS: [&str; 2] = ["github.com", "bitbucket.org"];
/// Query arguments that say which version; every other value may be a secret (`sshkey`, signatures).
const SHOWN_ARGUMENTS: [&str; 4] = ["tag", "digest", "ref", "version"];

impl SourceKind {
    /// Decides for a plain string.
    pub fn of(source: &str) -> Self {
        if ["./", "../", ".\\", "..\\"].iter().any(|prefix| source.starts_with(prefix)) {
            return Self::Local;
        }
        if let Some(host) = registry_host(source) {
            return Self::Registry { host };
        }
        let (forced, rest) = split_forced(source);
        let scheme = rest.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        match (forced.as_deref(), scheme.as_deref()) {
            (Some("oci"), _) | (None, Some("oci")) => oci(rest),
            (Some("git"), _) | (None, Some("ssh" | "git")) => Self::Git,
            (Some("http" | "https"), _) | (None, Some("http" | "https")) => Self::Http,
            (None, None) if is_git_shorthand(rest) => Self::Git,
            _ => Self::Other,
        }
    }
}

/// Whether a path from the root of the file system is meant, also behind a getter (`git::file:///…`).
pub(super) fn is_absolute(source: &str) -> bool {
    let (_, rest) = split_forced(source);
    let lower = rest.to_ascii_lowercase();
    rest.starts_with('/') || lower.starts_with("file:") || (rest.len() != source.len() && rest.starts_with('.'))
}

/// A literal source without user information and without values that may be secret: for logs and receipts.
pub(super) fn shown(source: &str) -> String {
    let (address, query) = source.split_once('?').map_or((source, None), |(address, query)| (address, Some(query)));
    let mut shown = without_user(address);
    for (index, argument) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        let (name, value) = argument.split_once('=').unwrap_or((argument, ""));
        let value = if SHOWN_ARGUMENTS.contains(&name) { value } else { "…" };
        shown.push(if index == 0 { '?' } else { '&' });
        shown.push_str(name);
        shown.push('=');
        shown.push_str(value);
    }
    shown
}

fn without_user(address: &str) -> String {
    let Some((before, after)) = address.split_once("://") else { return address.to_owned() };
    let (authority, path) = after.find('/').map_or((after, ""), |slash| after.split_at(slash));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    format!("{before}://{host}{path}")
}

fn oci(address: &str) -> SourceKind {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let rest = rest.split(['?', '#']).next().unwrap_or_default();
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let repository = path.split_once("//").map_or(path, |(repository, _)| repository);
    SourceKind::Oci { registry_host: host.to_owned(), repository: repository.trim_end_matches('/').to_owned() }
}

pub(super) fn split_forced(source: &str) -> (Option<String>, &str) {
    match source.split_once("::") {
        Some((forced, rest)) if !forced.is_empty() && forced.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
            (Some(forced.to_ascii_lowercase()), rest)
        }
        _ => (None, source),
    }
}

fn is_git_shorthand(source: &str) -> bool {
    let host = source.split('/').next().unwrap_or_default();
    let ssh_form = host.split_once('@').is_some_and(|(user, rest)| !user.is_empty() && rest.contains(':'));
    ssh_form || GIT_HOSTS.contains(&host)
}

fn registry_host(source: &str) -> Option<String> {
    let address = source.split_once("//").map_or(source, |(address, _)| address);
    let parts: Vec<&str> = address.split('/').collect();
    let (host, names) = match parts.as_slice() {
        [namespace, name, system] => (DEFAULT_REGISTRY, [*namespace, *name, *system]),
        [host, namespace, name, system] => (*host, [*namespace, *name, *system]),
        _ => return None,
    };
    let [namespace, name, system] = names;
    let port = host.split_once(':').map(|(_, port)| port);
    let host_like = !host.is_empty()
        && port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
        && host.chars().all(|letter| letter.is_alphanumeric() || matches!(letter, '.' | '-' | ':'))
        // OpenTofu wants a dot: `localhost:8443/…` is no address of a module registry (tried).
        && host.contains('.');
    let is_system = (1..=64).contains(&system.len())
        && system.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase());
    let fits = host_like && !GIT_HOSTS.contains(&host) && is_name(namespace) && is_name(name) && is_system;
    fits.then(|| host.to_owned())
}

fn is_name(name: &str) -> bool {
    let edge = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = name.as_bytes();
    bytes.len() <= 64
        && edge(bytes.first())
        && edge(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::{SourceKind, is_absolute, shown};

    fn oci(registry_host: &str, repository: &str) -> SourceKind {
        SourceKind::Oci { registry_host: registry_host.to_owned(), repository: repository.to_owned() }
    }

    fn registry(host: &str) -> SourceKind {
        SourceKind::Registry { host: host.to_owned() }
    }

    #[test]
    fn each_kind_is_known_by_its_text() {
        for (source, kind) in [
            ("./modules/a", SourceKind::Local),
            ("../a", SourceKind::Local),
            ("oci://ghcr.io/org/module?tag=1.4.0", oci("ghcr.io", "org/module")),
            ("oci://GHCR.io:443/org/module//sub/dir?digest=sha256:00", oci("GHCR.io:443", "org/module")),
            ("OCI://u:p@h.example/a/", oci("h.example", "a")),
            ("oci://h.example", oci("h.example", "")),
            ("hashicorp/consul/aws", registry("registry.opentofu.org")),
            ("hashicorp/consul/aws//modules/x", registry("registry.opentofu.org")),
            ("app.example.io:8443/org/net/aws", registry("app.example.io:8443")),
            ("127.0.0.1:8443/org/net/aws", registry("127.0.0.1:8443")),
            ("localhost:8443/org/net/aws", SourceKind::Other),
            ("oci::ghcr.io/org/net/aws", oci("ghcr.io", "org/net/aws")),
            ("github.com/org/repo", SourceKind::Git),
            ("github.com/org/repo/aws", SourceKind::Git),
            ("git@github.com:org/repo.git", SourceKind::Git),
            ("git::https://example.com/x.git?ref=v1", SourceKind::Git),
            ("git::ssh://git@example.com/x.git", SourceKind::Git),
            ("https://example.com/x.zip", SourceKind::Http),
            ("s3::https://s3.amazonaws.com/b/x.zip", SourceKind::Other),
            ("hg::http://example.com/x", SourceKind::Other),
            ("modules/a", SourceKind::Other),
            ("", SourceKind::Other),
        ] {
            assert_eq!(SourceKind::of(source), kind, "{source}");
        }
    }

    #[test]
    fn absolute_paths_are_known_in_every_way_of_writing_them() {
        for source in
            ["/run/x", "file:///run/x", "FILE:///run/x", "git::/run/x", "git::file:///x", "file::/x", "git::../x"]
        {
            assert!(is_absolute(source), "{source}");
        }
        for source in ["./x", "../x", "oci://h/x", "git::https://h/x", "org/name/aws"] {
            assert!(!is_absolute(source), "{source}");
        }
    }

    #[test]
    fn what_is_shown_has_no_user_and_no_unknown_values() {
        assert_eq!(shown("oci://h/x?tag=1"), "oci://h/x?tag=1");
        assert_eq!(
            shown("git::https://user:hunter22@h/x.git?ref=v1&sshkey=hunter22&depth=1"),
            "git::https://h/x.git?ref=v1&sshkey=…&depth=…"
        );
        assert_eq!(shown("./a"), "./a");
    }
}
