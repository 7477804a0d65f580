//! What a test found, in words: each says what happened and what to do.
//!
//! Rule: no secret, token, query or body in a message; what a stranger named is cut to what a host can be.

use reqwest::StatusCode;

use crate::protocol::api::ConnectionVerdict as V;
use crate::registry::challenge::Challenge;
use crate::registry::exchange::{ExchangeError, Reply};
use crate::registry::manifest::ManifestKind;
use crate::registry::realm::RefusedRealm;
use crate::registry::scope::Reference;
use crate::tls::{CertificateSummary, ConnectFailure, InvalidCa};

/// Seconds of a `Retry-After` that are believed.
const LONGEST_PAUSE: u32 = 86_400;

/// A verdict with its words.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) verdict: V,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// Whether what could be pulled is a module package.
    pub(super) is_module: Option<bool>,
}

fn found(verdict: V, message: impl Into<String>, hint: &str) -> Finding {
    Finding { verdict, message: message.into(), hint: (!hint.is_empty()).then(|| hint.to_owned()), is_module: None }
}

impl Finding {
    pub(super) fn half_a_credential() -> Self {
        found(
            V::Denied,
            "user name or secret is empty",
            "OpenTofu needs both, also where a registry looks at one alone",
        )
    }

    pub(super) fn credential_not_transportable() -> Self {
        found(
            V::Denied,
            "user name and secret cannot be sent: a colon in the user name, or a control character in either",
            "check for a line break that was pasted along",
        )
    }

    pub(super) fn not_a_repository() -> Self {
        found(V::NoAccess, "that is not the name of a repository", "for example `team/net` or `team/net:1.0.0`")
    }

    pub(super) fn private_ca(error: &InvalidCa) -> Self {
        found(V::Tls, format!("the private CA cannot be used: {error}"), "")
    }

    /// The same where the integration has a private CA of its own, which does not help.
    pub(super) fn unreached_with_ca(self, error: &ExchangeError) -> Self {
        match error {
            ExchangeError::Connect(ConnectFailure::UnknownIssuer) => Self {
                hint: Some(
                    "the integration's private CA is not the one that issued it: give the right one \
                     (`--registry-ca-file`); `nigari registry show` names the present one"
                        .to_owned(),
                ),
                ..self
            },
            _ => self,
        }
    }

    /// `who` did not answer.
    pub(super) fn unreached(who: &str, error: &ExchangeError, presented: Option<&CertificateSummary>) -> Self {
        match error {
            ExchangeError::Connect(failure) if failure.is_tls() => Self::tls(who, failure, presented),
            ExchangeError::Connect(ConnectFailure::Name) => found(
                V::Unreachable,
                format!("the name of {who} cannot be resolved"),
                "check the spelling; the host that runs this test must know the name",
            ),
            ExchangeError::Connect(ConnectFailure::Refused) => found(
                V::Unreachable,
                format!("{who} refuses the connection"),
                "is the port right, and is the registry up?",
            ),
            ExchangeError::Connect(failure) => found(
                V::Unreachable,
                format!("{who} cannot be reached: {failure}"),
                "check address, firewall and proxy settings of the host that runs this test",
            ),
            ExchangeError::TimedOut => found(
                V::Unreachable,
                format!("{who} does not answer in time"),
                "check address, firewall and proxy settings of the host that runs this test",
            ),
            ExchangeError::Forbidden => found(
                V::Unreachable,
                format!("{who} is never contacted: {error}"),
                "give the registry's real name or address",
            ),
            ExchangeError::NotHttp | ExchangeError::TooLarge => {
                found(V::NotARegistry, format!("{who} is no registry: {error}"), "check host and port")
            }
        }
    }

    fn tls(who: &str, failure: &ConnectFailure, presented: Option<&CertificateSummary>) -> Self {
        let names = presented
            .map(|seen| format!(" (subject `{}`, issuer `{}`)", seen.subject, seen.issuer))
            .unwrap_or_default();
        let hint = match failure {
            ConnectFailure::UnknownIssuer => "give the authority's certificate as the integration's private CA (PEM)",
            ConnectFailure::Validity(_) => "renew the registry's certificate, or set the clocks",
            ConnectFailure::WrongName => "use a name that the certificate has, also in module sources",
            ConnectFailure::PlainText => {
                "OpenTofu talks to registries by https alone: put TLS in front, or take its TLS port"
            }
            _ => "OpenTofu will fail in the same way; the registry's certificate or TLS settings must change",
        };
        found(V::Tls, format!("no trusted connection to {who}: {failure}{names}"), hint)
    }

    pub(super) fn redirected(host: &str, origin: Option<&str>) -> Self {
        let to = origin.map(|origin| format!(" to `{origin}`")).unwrap_or_default();
        found(
            V::NotARegistry,
            format!("`{host}` redirects{to}; that is not followed with a credential"),
            "give the registry's own address; a redirect is usually a login page or a web site",
        )
    }

    pub(super) fn web_page(host: &str) -> Self {
        found(
            V::NotARegistry,
            format!("`{host}` answers with a web page"),
            "give the registry's host, not the one of its web site (GitLab's registry has its own); or a login page is in front",
        )
    }

    pub(super) fn forbidden(host: &str) -> Self {
        found(
            V::RegistryFault,
            format!("`{host}` forbids the question before it asks for a credential (status 403)"),
            "an address filter or firewall of the registry: allow the host that runs this test, and the agents",
        )
    }

    pub(super) fn no_registry_here(host: &str) -> Self {
        found(
            V::NotARegistry,
            format!("there is no registry at `{host}` (no `/v2/`, status 404)"),
            "check host and port",
        )
    }

    pub(super) fn not_a_registry(host: &str, why: &str) -> Self {
        found(V::NotARegistry, format!("`{host}` is no registry: {why}"), "check host and port")
    }

    /// 429, 5xx and what else a registry does not say to a bare question.
    pub(super) fn unexpected(host: &str, reply: &Reply) -> Self {
        if reply.status.is_client_error() && reply.status != StatusCode::TOO_MANY_REQUESTS {
            return Self::not_a_registry(host, &format!("status {}", reply.status.as_u16()));
        }
        Self::fault(&format!("`{host}`"), reply)
    }

    /// The same for a question with a credential, where a redirect's target is not named.
    pub(super) fn unexpected_with_credential(host: &str, reply: &Reply) -> Self {
        if reply.is_page() { Self::web_page(host) } else { Self::fault(&format!("`{host}`"), reply) }
    }

    fn fault(who: &str, reply: &Reply) -> Self {
        let status = reply.status.as_u16();
        let pause = reply.header("retry-after").and_then(|text| text.trim().parse().ok());
        match (status, pause.filter(|seconds: &u32| *seconds <= LONGEST_PAUSE)) {
            (429, Some(seconds)) => found(
                V::RegistryFault,
                format!("{who} limits requests, and asks to wait {seconds} s (status 429)"),
                "try again then; a credential with its own limit may help",
            ),
            (429, None) => found(V::RegistryFault, format!("{who} limits requests (status 429)"), "try again later"),
            (300..=399, _) => found(
                V::NotARegistry,
                format!("{who} redirects (status {status}); that is not followed with a credential"),
                "give the registry's own address",
            ),
            (500..=599, _) => {
                found(V::RegistryFault, format!("{who} has a fault (status {status})"), "try again later")
            }
            _ => found(V::RegistryFault, format!("{who} answers unexpectedly (status {status})"), ""),
        }
    }

    pub(super) fn other_schemes(host: &str, challenges: &[Challenge]) -> Self {
        let usable = challenges.iter().any(|challenge| matches!(challenge.scheme.as_str(), "basic" | "bearer"));
        let hint = if usable {
            "it offers Basic or Bearer as well, but OpenTofu takes the first offer alone: change their order"
        } else {
            "a proxy or login page may be in front of the registry"
        };
        let message =
            format!("`{host}` wants to be convinced in a way that OpenTofu does not know (neither Basic nor Bearer)");
        found(V::NotARegistry, message, hint)
    }

    pub(super) fn realm_refused(host: &str, refused: RefusedRealm) -> Self {
        let hint = match refused {
            RefusedRealm::Number => "give the token service a name in the registry's settings",
            _ => "correct the address of the token service in the registry's settings; OpenTofu refuses it too",
        };
        found(V::RegistryFault, format!("`{host}` would have the credential sent elsewhere: {refused}"), hint)
    }

    /// Another than the one with which a test has succeeded before.
    pub(super) fn other_token_service(host: &str, kept: &str, other: Option<&str>) -> Self {
        let named = other.map(|other| format!(", `{other}`,")).unwrap_or_default();
        found(
            V::RegistryFault,
            format!(
                "`{host}` names another token service{named} than `{kept}`, to which the integration is held; user and \
                 secret were not sent there"
            ),
            "if the registry has changed it, give the secret again with `nigari registry update`: the next test that \
             succeeds accepts the new one",
        )
    }

    pub(super) fn second_token_service(host: &str) -> Self {
        found(
            V::RegistryFault,
            format!(
                "`{host}` names another token service for the repository than for `/v2/`; user and secret were not sent \
                 there"
            ),
            "the registry's settings have to name one host for both, because a credential is held to one",
        )
    }

    pub(super) fn denied(host: &str, status: u16) -> Self {
        found(
            V::Denied,
            format!("`{host}` does not take user and secret (status {status})"),
            "check both, and whether the token has expired or been revoked",
        )
    }

    pub(super) fn token_refused(host: &str, who: &str, reply: &Reply) -> Self {
        match reply.status.as_u16() {
            401 | 403 if host == "ghcr.io" => found(
                V::Denied,
                format!("{who} does not take user and secret (status {})", reply.status.as_u16()),
                "GitHub takes a classic personal access token with `read:packages`, no fine-grained one; check its expiry",
            ),
            status @ (401 | 403) => found(
                V::Denied,
                format!("{who} does not take user and secret (status {status})"),
                "check both, and whether the token has expired or been revoked",
            ),
            status @ (400 | 406) => found(
                V::RegistryFault,
                format!("{who} does not take the question (status {status})"),
                "it may want a repository named: test again with one",
            ),
            _ if reply.is_page() => Self::token_service_fault(who, "answers with a web page"),
            404 | 405 => Self::token_service_fault(who, "knows no tokens at the address that the registry names"),
            _ => Self::fault(who, reply),
        }
    }

    pub(super) fn token_service_fault(who: &str, what: &str) -> Self {
        found(V::RegistryFault, format!("{who} {what}"), "the registry's token service has to be looked at")
    }

    pub(super) fn token_not_taken(host: &str) -> Self {
        found(
            V::RegistryFault,
            format!(
                "the token service took user and secret, but `{host}` does not take its token for `/v2/` (status 401)"
            ),
            "clocks, the service's name, or a credential for single repositories: OpenTofu before 1.13 cannot use it; test with a repository",
        )
    }

    pub(super) fn accepted(host: &str, foreign_service: Option<String>) -> Self {
        let by = foreign_service.map(|name| format!(" (by its token service `{name}`)")).unwrap_or_default();
        found(
            V::Ok,
            format!("`{host}` took user and secret{by}"),
            "whether a certain repository may be pulled shows a test with its name",
        )
    }

    pub(super) fn let_in_unseen(host: &str) -> Self {
        found(
            V::Unproven,
            format!("`{host}` is a registry, but lets everybody in at `/v2/`: user and secret were not looked at"),
            "test with a private repository",
        )
    }

    pub(super) fn no_access(reference: &Reference, status: StatusCode) -> Self {
        found(
            V::NoAccess,
            format!("user and secret may not pull `{}` (status {})", reference.repository, status.as_u16()),
            "give the user the right to pull it",
        )
    }

    pub(super) fn not_found(reference: &Reference) -> Self {
        let Reference { repository, reference } = reference;
        found(
            V::NotFound,
            format!("there is no `{reference}` of `{repository}`, or user and secret may not see it (status 404)"),
            "check name and tag; many registries hide what may not be pulled",
        )
    }

    /// The manifest is there. `proven` says whether the credential was looked at.
    pub(super) fn pullable(reference: &Reference, kind: ManifestKind, proven: bool) -> Self {
        let name = format!("`{}:{}`", reference.repository, reference.reference);
        let (verdict, by) = if proven { (V::Ok, "") } else { (V::Unproven, " by everybody, without user and secret") };
        let what = match kind {
            ManifestKind::ModulePackage => {
                let message = format!("{name} can be pulled{by}, and is a module package");
                return Self { is_module: Some(true), ..found(verdict, message, "") };
            }
            ManifestKind::NoSingleZip => "a module package without exactly one `archive/zip` layer",
            ManifestKind::Index => "an index of several manifests",
            ManifestKind::Provider => "a provider, for `oci_mirror`",
            ManifestKind::ContainerImage => "a container image",
            ManifestKind::HelmChart => "a Helm chart",
            ManifestKind::Other => "of another artifact type",
            ManifestKind::Unreadable => "not readable as a manifest",
        };
        let message = format!("{name} can be pulled{by}, but it is {what}, which OpenTofu does not take as a module");
        let hint = "push it with `--artifact-type application/vnd.opentofu.modulepkg` and one layer `archive/zip`";
        Self { is_module: Some(false), ..found(verdict, message, hint) }
    }

    /// Adds what older versions of OpenTofu need, when `/v2/` itself did not take the token.
    pub(super) fn unless_old(mut self, entered: bool) -> Self {
        if !entered {
            self.hint =
                Some("OpenTofu before 1.13 asks for `/v2/` first, where this credential is not taken".to_owned());
        }
        self
    }
}
