//! One registry on behalf of somebody who has no credential: the broker asks, and whoever asked the broker never sees
//! how the registry was convinced.
//!
//! Rule: a credential goes to its registry, which must have asked for it, and to the `https` token service that this
//! registry named first, in a connection test or else here; to no other host, scheme or port, whatever is answered.
//! Nothing that came back after a credential was sent is repeated in a message.

mod answer;
mod held;
mod new_tokens;
mod patience;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use answer::{Answer, Body};
use held::Held;
pub use new_tokens::NewTokens;
pub use patience::Patience;
use patience::Tries;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use url::Url;

use super::authorization::Authorization;
use super::challenge::{Challenge, challenges};
use super::exchange::{Exchange, ExchangeError};
use super::proxy::OutwardProxy;
use super::realm::{RefusedRealm, check_realm};
use super::scope::pull_scopes;
use super::token::{TokenAnswer, TokenRequest, fetch_token};
use crate::clock::BootInstant;
use crate::protocol::agent::RegistryCredential;
use crate::tls::InvalidCa;

/// What a request is about; decides who answers for it.
#[derive(Debug)]
pub enum Place {
    /// `/v2/`: whether this is a registry.
    Base,
    /// Something of a repository.
    Repository(String),
    /// Something else on the host: no registry credential, but what is given here.
    Elsewhere(Option<Authorization>),
}

/// A request for the registry.
#[derive(Debug)]
pub struct Ask {
    /// `GET` or `HEAD`.
    pub method: Method,
    /// Made by [`Upstream::url`].
    pub url: Url,
    /// What goes along; no authorisation.
    pub headers: HeaderMap,
    /// What it is about.
    pub place: Place,
    /// What whoever asks has brought along itself. It goes as it came, and only where nothing of ours is for the
    /// place: then no credential and no token of ours goes, not even one that nobody's credential got.
    pub own: Option<Authorization>,
}

/// Why there is no answer to hand on.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The registry does not answer.
    #[error("`{host}`: {source}")]
    Registry {
        /// The registry host.
        host: String,
        /// Why.
        source: ExchangeError,
    },
    /// Its token service does not answer.
    #[error("the token service of `{host}`: {source}")]
    TokenService {
        /// The registry host.
        host: String,
        /// Why.
        source: ExchangeError,
    },
    /// Its token service says no.
    #[error("the token service of `{host}` refuses {whose} with status {status}")]
    TokenRefused {
        /// The registry host.
        host: String,
        /// Whose credential.
        whose: String,
        /// The status.
        status: StatusCode,
        /// When to ask again.
        retry_after: Option<Duration>,
    },
    /// Its token service gives no token that could be used.
    #[error("the token service of `{host}` answers without a token")]
    NoToken {
        /// The registry host.
        host: String,
    },
    /// A token service that is shown no credential.
    #[error("`{host}` is shown no credential: {source}")]
    Realm {
        /// The registry host.
        host: String,
        /// Why.
        source: RefusedRealm,
    },
    /// Another token service than before.
    #[error(
        "`{host}` names another token service than it did before in this step, and that one is shown no credential of \
         the registry integration `{integration}`"
    )]
    RealmChanged {
        /// The registry host.
        host: String,
        /// The integration's name.
        integration: String,
    },
    /// Another token service than the server has kept.
    #[error(
        "`{host}` names another token service than `{kept}`, to which the registry integration `{integration}` is \
         held, and that one is shown no credential; hint: if the registry has changed it, give the secret again with \
         `nigari registry update`, and test it with `nigari registry test`"
    )]
    RealmNotKept {
        /// The registry host.
        host: String,
        /// The integration's name.
        integration: String,
        /// What the server has kept.
        kept: String,
    },
    /// It says 401 to everything that it can be shown.
    #[error("`{host}` refuses {whose} with status 401")]
    Unauthorized {
        /// The registry host.
        host: String,
        /// Whose credential.
        whose: String,
    },
}

/// What cannot be used towards any registry.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// User or secret.
    #[error(
        "user name or secret of the registry integration `{name}` cannot be sent: a user name has no `:`, and neither \
         has control characters; hint: correct it with `nigari registry update`"
    )]
    Credential {
        /// The integration.
        name: String,
    },
    /// A private authority.
    #[error("the private CA of `{host}`: {source}")]
    Authority {
        /// The registry host.
        host: String,
        /// Why.
        source: InvalidCa,
    },
}

/// How the way to every registry is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Outward<'a> {
    /// Whom to trust besides the host's own roots, in PEM.
    pub roots: Option<&'a str>,
    /// The operator's own proxy; otherwise that of this process.
    pub proxy: Option<&'a OutwardProxy>,
    /// How long registries are waited for.
    pub patience: Patience,
    /// Who hears of new tokens.
    pub new_tokens: Option<&'a NewTokens>,
}

/// Tokens that are kept of one host at a time.
const MOST_TOKENS: usize = 256;

/// A registry host with the credentials that are for it.
#[derive(Debug)]
pub struct Upstream {
    host: String,
    exchange: Exchange,
    held: Vec<Held>,
    wants_basic: AtomicBool,
    /// By credential and repository.
    tokens: Mutex<HashMap<(Option<usize>, String), Authorization>>,
    patience: Patience,
    new_tokens: NewTokens,
}

impl Upstream {
    /// For `host` (`host[:port]`). What it holds of the credentials goes when this goes.
    pub fn new(host: &str, credentials: &[&RegistryCredential], outward: Outward<'_>) -> Result<Self, Unusable> {
        let private = credentials.iter().filter_map(|credential| credential.ca_pem.as_deref());
        let trusted: Vec<&str> = private.chain(outward.roots).collect();
        let exchange = Exchange::through(Some(&trusted.join("\n")), outward.proxy)
            .map_err(|source| Unusable::Authority { host: host.to_owned(), source })?;
        let hold = |credential: &&RegistryCredential| {
            Held::of(credential).ok_or_else(|| Unusable::Credential { name: credential.name.clone() })
        };
        Ok(Self {
            host: host.to_owned(),
            exchange,
            held: credentials.iter().map(hold).collect::<Result<_, _>>()?,
            wants_basic: AtomicBool::new(false),
            tokens: Mutex::default(),
            patience: outward.patience,
            new_tokens: outward.new_tokens.cloned().unwrap_or_default(),
        })
    }

    /// The URL of a path and query on this host; `None` if it is not spelt as it would be sent, so that what is
    /// decided by it holds for what the registry reads.
    pub fn url(&self, path_and_query: &str) -> Option<Url> {
        let url = Url::parse(&format!("https://{}{path_and_query}", self.host)).ok()?;
        let as_sent = url.query().map_or_else(|| url.path().to_owned(), |query| format!("{}?{query}", url.path()));
        let is_here = check_origin(&url, &self.host);
        (is_here && path_and_query.starts_with('/') && as_sent == path_and_query).then_some(url)
    }

    /// Whether there is a credential for the host or a path of it.
    pub fn has_credentials(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether there is a credential for the whole host.
    pub fn has_credential_for_all(&self) -> bool {
        self.held.iter().any(|held| held.path.is_none())
    }

    /// The integrations whose credentials were sent so far, whatever was answered.
    pub fn shown(&self) -> impl Iterator<Item = &str> {
        self.held.iter().filter(|held| held.was_shown()).map(|held| held.name.as_str())
    }

    /// Asks, and asks again as long as that may help and patience lasts.
    pub async fn ask(&self, ask: &Ask) -> Result<Answer, UpstreamError> {
        let mut tries = Tries::new(self.patience);
        loop {
            let result = self.ask_once(ask, tries.remaining()).await;
            let Some(pause) = tries.pause(&result) else { return result };
            drop(result);
            tokio::time::sleep(pause).await;
        }
    }

    /// One try: bare or with what is known to be wanted, then as challenged. Never more than two requests.
    async fn ask_once(&self, ask: &Ask, limit: Duration) -> Result<Answer, UpstreamError> {
        let end = BootInstant::now().after(limit);
        let chosen = self.chosen(&ask.place);
        let is_ours = chosen.is_some() || matches!(ask.place, Place::Elsewhere(Some(_)));
        if let Some(own) = ask.own.as_ref().filter(|_| !is_ours) {
            // Whatever the registry says to that is an answer: a challenge is for whoever brought it.
            return Ok(self.answer(self.send(ask, Some(own), end).await?, None));
        }
        let first = self.known(&ask.place, chosen);
        let response = self.send(ask, first.as_ref(), end).await?;
        if response.status() != StatusCode::UNAUTHORIZED || matches!(ask.place, Place::Elsewhere(_)) {
            return Ok(self.answer(response, chosen.filter(|_| first.is_some())));
        }
        let found = challenges(response.headers());
        answer::drain(response).await;
        // OpenTofu looks at no other than the first, so a registry that works with it names the right one first.
        let next = match found.first() {
            Some(challenge) if challenge.scheme == "basic" => self.basic(chosen, first.as_ref()),
            Some(challenge) if challenge.scheme == "bearer" => Some(self.token(challenge, &ask.place, chosen).await?),
            _ => None,
        };
        let Some(next) = next else { return Err(self.unauthorized(chosen)) };
        let response = self.send(ask, Some(&next), end).await?;
        if response.status() == StatusCode::UNAUTHORIZED {
            self.forget(&ask.place, chosen);
            return Err(self.unauthorized(chosen));
        }
        Ok(self.answer(response, chosen))
    }

    async fn send(
        &self,
        ask: &Ask,
        shown: Option<&Authorization>,
        end: BootInstant,
    ) -> Result<Response, UpstreamError> {
        let failed = |source| UpstreamError::Registry { host: self.host.clone(), source };
        let limit = end.remaining().clamp(Duration::from_secs(1), self.patience.head);
        let sent = self.exchange.send(ask.method.clone(), ask.url.clone(), ask.headers.clone(), shown);
        tokio::time::timeout(limit, sent).await.unwrap_or(Err(ExchangeError::TimedOut)).map_err(failed)
    }

    /// The credential that is for a place: the longest path wins. The widest answers for `/v2/`.
    fn chosen(&self, place: &Place) -> Option<usize> {
        let all = self.held.iter().enumerate();
        match place {
            Place::Base => all.min_by_key(|(_, held)| held.depth()).map(|(index, _)| index),
            Place::Repository(name) => {
                all.filter(|(_, held)| held.covers(name)).max_by_key(|(_, held)| held.depth()).map(|(index, _)| index)
            }
            Place::Elsewhere(_) => None,
        }
    }

    /// What the registry is known to want.
    fn known(&self, place: &Place, chosen: Option<usize>) -> Option<Authorization> {
        if let Place::Elsewhere(given) = place {
            return given.clone();
        }
        if self.wants_basic.load(Ordering::Relaxed) {
            return self.held(chosen).map(|held| held.show().clone());
        }
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).get(&key(place, chosen)).cloned()
    }

    /// User and secret, unless they were just refused.
    fn basic(&self, chosen: Option<usize>, refused: Option<&Authorization>) -> Option<Authorization> {
        let held = self.held(chosen)?;
        let was_shown = refused.is_some() && self.wants_basic.swap(true, Ordering::Relaxed);
        self.wants_basic.store(true, Ordering::Relaxed);
        (!was_shown).then(|| held.show().clone())
    }

    /// A fresh token, by the credential or by nobody's.
    async fn token(
        &self,
        challenge: &Challenge,
        place: &Place,
        chosen: Option<usize>,
    ) -> Result<Authorization, UpstreamError> {
        self.wants_basic.store(false, Ordering::Relaxed);
        let host = || self.host.clone();
        let realm = check_realm(challenge.parameter("realm"), &self.host)
            .map_err(|source| UpstreamError::Realm { host: host(), source })?;
        let held = self.held(chosen);
        if let Some(held) = held.filter(|held| !held.pin.admits(&realm)) {
            return Err(self.other_service(held));
        }
        let scopes = match place {
            Place::Repository(name) => pull_scopes(name, challenge.parameter("scope")),
            Place::Base | Place::Elsewhere(_) => Vec::new(),
        };
        let service = challenge.parameter("service");
        let request = TokenRequest { realm, service, scopes: &scopes, authorization: held.map(Held::show) };
        let answer = fetch_token(&self.exchange, request).await;
        match answer.map_err(|source| UpstreamError::TokenService { host: host(), source })? {
            TokenAnswer::Token(token) => {
                self.new_tokens.tell(&token.parameter());
                let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
                // The child chooses the names: what it asks for must not make us grow.
                if tokens.len() >= MOST_TOKENS {
                    tokens.clear();
                }
                tokens.insert(key(place, chosen), token.clone());
                Ok(token)
            }
            TokenAnswer::Unusable => Err(UpstreamError::NoToken { host: host() }),
            TokenAnswer::Refused(reply) => Err(UpstreamError::TokenRefused {
                host: host(),
                whose: self.whose(chosen),
                status: reply.status,
                retry_after: patience::retry_after(&reply.headers),
            }),
        }
    }

    fn forget(&self, place: &Place, chosen: Option<usize>) {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).remove(&key(place, chosen));
    }

    fn held(&self, chosen: Option<usize>) -> Option<&Held> {
        chosen.and_then(|index| self.held.get(index))
    }

    fn answer(&self, response: Response, chosen: Option<usize>) -> Answer {
        Answer::of(response, self.held(chosen).map(|held| held.name.clone()), self.patience.stall)
    }

    fn unauthorized(&self, chosen: Option<usize>) -> UpstreamError {
        UpstreamError::Unauthorized { host: self.host.clone(), whose: self.whose(chosen) }
    }

    fn other_service(&self, held: &Held) -> UpstreamError {
        let (host, integration) = (self.host.clone(), held.name.clone());
        match held.pin.kept() {
            Some(kept) => UpstreamError::RealmNotKept { host, integration, kept: kept.to_owned() },
            None => UpstreamError::RealmChanged { host, integration },
        }
    }

    fn whose(&self, chosen: Option<usize>) -> String {
        match self.held(chosen) {
            Some(held) => format!("the credential of the registry integration `{}`", held.name),
            None => "a request without a credential, and no registry integration of this run is for it".to_owned(),
        }
    }
}

fn key(place: &Place, chosen: Option<usize>) -> (Option<usize>, String) {
    let repository = if let Place::Repository(name) = place { name.clone() } else { String::new() };
    (chosen, repository)
}

/// Whether a URL is of this very host and port, over `https`, and has no user in it.
pub fn check_origin(url: &Url, host: &str) -> bool {
    Url::parse(&format!("https://{host}/")).is_ok_and(|own| own.origin() == url.origin())
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none()
}

#[cfg(test)]
mod tests;
