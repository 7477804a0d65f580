//! Whether an address and its credential work, tried in the way in which OpenTofu will use them.
//!
//! Rule: the credential is sent only after the registry has asked for it, to itself or to the token service that it
//! named before it saw the credential, and that it is held to since the first test. What strangers say is repeated in messages only from answers that came before
//! that, so that nobody can put the secret into a message by sending it back.

mod finding;
mod knock;
mod pull;

use finding::Finding;
use knock::Entry;
use reqwest::Method;
use reqwest::StatusCode;
use url::Url;

use super::authorization::Authorization;
use super::exchange::{Exchange, ExchangeError, Question, Reply};
use super::pin::Pin;
use super::scope::Reference;
use super::token::{TokenAnswer, TokenRequest, fetch_token};
use crate::clock::Clock;
use crate::protocol::api::{ConnectionTest, ConnectionVerdict};
use crate::protocol::registry_address::RegistryAddress;
use crate::secret::Secret;
use crate::tls::presented_certificate;

/// What to test.
#[derive(Debug)]
pub struct TestTarget<'t> {
    /// Registry host and path.
    pub address: &'t RegistryAddress,
    /// User name.
    pub username: &'t str,
    /// Password or token.
    pub secret: &'t Secret,
    /// The registry's private authority, in addition to the host's roots.
    pub ca_pem: Option<&'t str>,
    /// The one token service that the credential may be sent to; the first that the registry names if there is none yet.
    pub token_service: Option<&'t str>,
    /// A repository to try a pull of: `team/net`, `team/net:1.0.0`; also below the address' path.
    pub repository: Option<&'t str>,
}

/// A text that names no repository of a registry.
#[derive(Debug, thiserror::Error)]
pub enum NotARepository {
    /// Not by the grammar of the distribution specification.
    #[error(
        "it is not the name of a repository; hint: lower-case, without a host, for example `team/net` or `team/net:1.0.0`"
    )]
    Grammar,
    /// The registry's host is no part of it.
    #[error("it begins with the registry's host; hint: leave `{0}/` out")]
    Host(String),
}

/// Whether a test can try a pull of what a person means by `text`: asked before anything is sent or kept.
///
/// # Errors
/// When that is no repository's name.
pub fn check_repository(address: &RegistryAddress, text: &str) -> Result<(), NotARepository> {
    let host = address.host();
    if text.trim().strip_prefix(host).is_some_and(|rest| rest.starts_with('/')) {
        return Err(NotARepository::Host(host.to_owned()));
    }
    Reference::parse(text).map(drop).ok_or(NotARepository::Grammar)
}

/// Tests it. Takes at most about a minute; never fails, because what goes wrong is the result.
pub async fn test_connection(target: TestTarget<'_>) -> ConnectionTest {
    let (finding, service) = match Trial::prepare(&target) {
        Ok(trial) => {
            let finding = trial.run().await.unwrap_or_else(|finding| finding);
            (finding, trial.pin.admitted().map(str::to_owned))
        }
        Err(finding) => (finding, None),
    };
    ConnectionTest {
        verdict: finding.verdict,
        message: finding.message,
        hint: finding.hint,
        is_module: finding.is_module,
        token_service: service.filter(|_| finding.verdict == ConnectionVerdict::Ok),
        tested_at: Clock::new().now(),
    }
}

/// A test under way. Errors are findings too: those after which nothing more is tried.
struct Trial<'t> {
    host: &'t str,
    base: Url,
    exchange: Exchange,
    basic: Authorization,
    reference: Option<Reference>,
    has_ca: bool,
    pin: Pin,
}

impl<'t> Trial<'t> {
    fn prepare(target: &TestTarget<'t>) -> Result<Self, Finding> {
        let host = target.address.host();
        let base = Url::parse(&format!("https://{host}/v2/")).map_err(|_| Finding::not_a_registry(host, "no URL"))?;
        if target.username.is_empty() || target.secret.is_empty() {
            return Err(Finding::half_a_credential());
        }
        let basic =
            Authorization::basic(target.username, target.secret).ok_or_else(Finding::credential_not_transportable)?;
        let reference = target.repository.map(|text| repository(target.address, text)).transpose()?;
        let exchange = Exchange::new(target.ca_pem).map_err(|error| Finding::private_ca(&error))?;
        let has_ca = target.ca_pem.is_some_and(|pem| !pem.trim().is_empty());
        let pin = Pin::kept_as(target.token_service);
        Ok(Self { host, base, exchange, basic, reference, has_ca, pin })
    }

    async fn run(&self) -> Result<Finding, Finding> {
        let entry = self.knock().await?;
        let accepted = match &entry {
            Entry::Open => None,
            Entry::Basic => Some(self.enter(&self.basic, &entry).await),
            Entry::Bearer(service) => {
                let token = self.token(service, &[]).await?;
                Some(self.enter(&token, &entry).await)
            }
        };
        match (&self.reference, accepted) {
            // A token without scope may be refused where one for the repository is not, so the pull decides.
            (Some(reference), None | Some(Ok(()))) => self.pull(&entry, reference, true).await,
            (Some(reference), Some(Err(_))) if matches!(entry, Entry::Bearer(_)) => {
                self.pull(&entry, reference, false).await
            }
            (_, Some(Err(finding))) => Err(finding),
            (None, Some(Ok(()))) => Ok(Finding::accepted(self.host, entry.foreign_service(self.host))),
            (None, None) => Ok(Finding::let_in_unseen(self.host)),
        }
    }

    /// Asks for `/v2/`.
    async fn probe(&self, authorization: Option<&Authorization>) -> Result<Reply, ExchangeError> {
        let question = Question {
            method: Method::GET,
            url: self.base.clone(),
            accept: "application/json",
            authorization,
            limit: 0,
        };
        self.exchange.ask(question).await
    }

    /// Asks for `/v2/` again, with the credential or its token.
    async fn enter(&self, authorization: &Authorization, entry: &Entry) -> Result<(), Finding> {
        let reply = match self.probe(Some(authorization)).await {
            Ok(reply) => reply,
            Err(error) => return Err(self.unreached(&error).await),
        };
        match (reply.status, entry) {
            (StatusCode::OK, _) if !reply.is_page() => Ok(()),
            (StatusCode::UNAUTHORIZED, Entry::Bearer(_)) => Err(Finding::token_not_taken(self.host)),
            (StatusCode::UNAUTHORIZED, _) => Err(Finding::denied(self.host, 401)),
            (StatusCode::FORBIDDEN, _) => Err(Finding::denied(self.host, 403)),
            _ => Err(Finding::unexpected_with_credential(self.host, &reply)),
        }
    }

    /// A token for user and secret.
    async fn token(&self, service: &knock::TokenService, scopes: &[String]) -> Result<Authorization, Finding> {
        let request = TokenRequest {
            realm: service.realm.clone(),
            service: service.service.as_deref(),
            scopes,
            authorization: Some(&self.basic),
        };
        match fetch_token(&self.exchange, request).await {
            Ok(TokenAnswer::Token(token)) => Ok(token),
            Ok(TokenAnswer::Unusable) => Err(Finding::token_service_fault(&service.shown, "answers without a token")),
            Ok(TokenAnswer::Refused(reply)) => Err(Finding::token_refused(self.host, &service.shown, &reply)),
            Err(error) => Err(Finding::unreached(&service.shown, &error, None)),
        }
    }

    /// The finding for a registry that does not answer.
    async fn unreached(&self, error: &ExchangeError) -> Finding {
        let presented = match (error, self.base.host_str()) {
            (ExchangeError::Connect(failure), Some(name)) if failure.is_tls() => {
                presented_certificate(
                    name,
                    (name.trim_matches(['[', ']']), self.base.port_or_known_default().unwrap_or(443)),
                )
                .await
            }
            _ => None,
        };
        let finding = Finding::unreached(&format!("`{}`", self.host), error, presented.as_ref());
        if self.has_ca { finding.unreached_with_ca(error) } else { finding }
    }
}

/// The repository that a person means: within the address' path, or relative to it.
fn repository(address: &RegistryAddress, text: &str) -> Result<Reference, Finding> {
    let mut reference = Reference::parse(text).ok_or_else(Finding::not_a_repository)?;
    if let Some(path) = address.path().filter(|_| !address.covers(address.host(), &reference.repository)) {
        reference.repository = format!("{path}/{}", reference.repository);
    }
    Ok(reference)
}

#[cfg(test)]
mod tests {
    use super::{NotARepository, check_repository};

    #[test]
    fn what_names_no_repository_is_told_from_what_names_the_host_too() {
        let check = |host: &str, text: &str| check_repository(&host.parse().unwrap(), text);
        for text in ["team/net", "team/net:1.0.0", "r.example.com/net", "r.example"] {
            assert!(check("r.example", text).is_ok(), "{text}");
        }
        for (host, text) in
            [("r.example", "r.example/team/net:1.0.0"), ("r.example:5000/team", "r.example:5000/team/net")]
        {
            assert!(matches!(check(host, text), Err(NotARepository::Host(_))), "{text}");
        }
        for text in ["Team/Net", "", "oci://r.example/net", "other:5000/team/net"] {
            assert!(matches!(check("r.example", text), Err(NotARepository::Grammar)), "{text:?}");
        }
    }
}
