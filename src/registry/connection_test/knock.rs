//! The first question, without a credential: what is there, and how does it want to be convinced?
//!
//! Rule: nothing secret has been sent yet, so what comes back may be named in messages.

use reqwest::StatusCode;
use url::Url;

use super::Trial;
use super::finding::Finding;
use crate::registry::challenge::{Challenge, challenges};
use crate::registry::exchange::Reply;
use crate::registry::realm::check_realm;

/// How the registry wants to be convinced.
#[derive(Debug)]
pub(super) enum Entry {
    /// Not at all.
    Open,
    /// By user and secret.
    Basic,
    /// By a token.
    Bearer(TokenService),
}

/// A token service that may be shown the credential.
#[derive(Debug)]
pub(super) struct TokenService {
    pub(super) realm: Url,
    pub(super) service: Option<String>,
    pub(super) scope: Option<String>,
    /// What it is called in messages.
    pub(super) shown: String,
}

impl Entry {
    /// The host that gets the credential, when it is not the registry's own.
    pub(super) fn foreign_service(&self, host: &str) -> Option<String> {
        let Self::Bearer(service) = self else { return None };
        let registry = Url::parse(&format!("https://{host}/")).ok()?;
        let asked = service.realm.host_str().filter(|asked| registry.host_str() != Some(asked))?;
        Some(asked.to_owned())
    }
}

impl Trial<'_> {
    /// Asks for `/v2/` without a credential.
    pub(super) async fn knock(&self) -> Result<Entry, Finding> {
        let reply = match self.probe(None).await {
            Ok(reply) => reply,
            Err(error) => return Err(self.unreached(&error).await),
        };
        match reply.status {
            StatusCode::UNAUTHORIZED => {
                let found = challenges(&reply.headers);
                let service = |challenge: &Challenge| self.token_service(challenge);
                entry(&found, service).unwrap_or_else(|| Err(Finding::other_schemes(self.host, &found)))
            }
            StatusCode::OK if !reply.is_page() => Ok(Entry::Open),
            _ => Err(self.stranger(&reply)),
        }
    }

    /// The token service that a challenge names, if it may be shown the credential; for answers to requests without
    /// one.
    fn token_service(&self, challenge: &Challenge) -> Result<TokenService, Finding> {
        let realm = self.realm(challenge, true)?;
        let shown = format!("the token service `{}`", realm.host_str().unwrap_or_default());
        Ok(TokenService::new(realm, challenge, shown))
    }

    /// The realm of a challenge, if it is the one that may be shown the credential. Another is named only while nothing
    /// secret has been sent.
    pub(super) fn realm(&self, challenge: &Challenge, may_be_named: bool) -> Result<Url, Finding> {
        let realm = check_realm(challenge.parameter("realm"), self.host)
            .map_err(|refused| Finding::realm_refused(self.host, refused))?;
        if self.pin.admits(&realm) {
            return Ok(realm);
        }
        let other = may_be_named.then(|| realm.origin().ascii_serialization());
        Err(match self.pin.kept() {
            Some(kept) => Finding::other_token_service(self.host, kept, other.as_deref()),
            None => Finding::second_token_service(self.host),
        })
    }

    fn stranger(&self, reply: &Reply) -> Finding {
        let host = self.host;
        match reply.status {
            status if status.is_redirection() => {
                let target = reply.header("location").and_then(|target| self.base.join(target).ok());
                Finding::redirected(host, target.map(|target| target.origin().ascii_serialization()).as_deref())
            }
            _ if reply.is_page() => Finding::web_page(host),
            StatusCode::FORBIDDEN => Finding::forbidden(host),
            StatusCode::NOT_FOUND => Finding::no_registry_here(host),
            _ => Finding::unexpected(host, reply),
        }
    }
}

impl TokenService {
    pub(super) fn new(realm: Url, challenge: &Challenge, shown: String) -> Self {
        let owned = |name| challenge.parameter(name).map(str::to_owned);
        Self { realm, service: owned("service"), scope: owned("scope"), shown }
    }
}

/// The way in that the first challenge names, because OpenTofu looks at no other. `None` when it cannot use it.
pub(super) fn entry(
    found: &[Challenge],
    service: impl Fn(&Challenge) -> Result<TokenService, Finding>,
) -> Option<Result<Entry, Finding>> {
    let first = found.first()?;
    match first.scheme.as_str() {
        "basic" => Some(Ok(Entry::Basic)),
        "bearer" => Some(service(first).map(Entry::Bearer)),
        _ => None,
    }
}
