//! The registries' side of the gateway: an `HTTPS` proxy on loopback for one fetch step, which adds the authorisation
//! so that whoever fetches never sees a credential.
//!
//! Rule: it lives as long as its step. Only the registry hosts of this run are ended here, with an authority made for
//! this step; everything else is passed through untouched. Once closed nothing listens, every connection is cut, and
//! the secrets are gone.

mod asked;
mod authority;
mod body;
mod crowd;
mod door;
mod ended;
// Fed by fuzzers.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod headers;
mod module_registry;
mod outside;
mod record;
mod refusal;
mod target;
mod tunnel;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use record::Seen;

use self::authority::Authority;
use self::crowd::Crowd;
use self::door::Door;
use self::ended::Ended;
use self::module_registry::ModuleRegistry;
use self::outside::Outside;
use self::record::Record;
use self::target::Target;
use super::nonce::{Nonce, PASSING, USER};
use crate::clock::Clock;
use crate::protocol::agent::RegistryCredential;
use crate::registry::upstream::{NewTokens, Outward, Patience, Unusable, Upstream};
use crate::registry::{Authorization, OutwardProxy};
use crate::secret::Secret;
use crate::tls::InvalidCa;

/// Docker Hub under the other name that clients use; the same credentials are for both.
const DOCKER_HUB_INDEX: &str = "index.docker.io";
/// How long to wait after accepting failed: out of file descriptors, most likely.
const BREATHER: Duration = Duration::from_millis(50);

/// Why there is no broker.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// No port on loopback.
    #[error("no port on loopback for the broker: {0}")]
    Listen(#[source] std::io::Error),
    /// The kernel gave no random bytes.
    #[error("no random bytes for the broker's nonce")]
    Random,
    /// A certificate could not be made.
    #[error("no certificate for the broker: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A certificate could not be used.
    #[error("the broker's certificate cannot be used: {0}")]
    Tls(#[from] rustls::Error),
    /// The host's clock is out of all bounds.
    #[error("the host's clock shows no time in which a certificate could be valid")]
    Clock,
    /// A credential or an authority that no registry can be shown.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// The way to the operator's proxy cannot be trusted.
    #[error("the operator's proxy: {0}")]
    Proxy(#[source] InvalidCa),
    /// A token of the operator's CLI configuration that no header can carry.
    #[error("the token for `{0}` in the CLI configuration cannot be sent; hint: correct its `credentials` block")]
    Token(String),
}

/// What a broker is opened with; all of it is taken over.
#[derive(Debug, Default)]
pub struct Plan {
    /// Of the registries of this run.
    pub credentials: Vec<RegistryCredential>,
    /// `host[:port]` and token of private module registries, from the operator's CLI configuration.
    pub tokens: Vec<(String, Secret)>,
    /// `host[:port]` and URL of services that the same configuration places by hand.
    pub services: Vec<(String, String)>,
    /// Whom to trust besides the host's own roots, in PEM: what the operator named as the host's roots.
    pub roots: Option<String>,
    /// The operator's own proxy, if the step would have had one; otherwise that of this process.
    pub proxy: Option<OutwardProxy>,
    /// How long registries are waited for.
    pub patience: Patience,
    /// Who hears of the tokens that the credentials are exchanged for.
    pub new_tokens: NewTokens,
}

/// An open broker. Dropping it ends it too, but nobody hears then what it saw.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    nonce: Nonce,
    authority: String,
    record: Arc<Record>,
    stop: CancellationToken,
    listening: JoinHandle<()>,
}

impl Broker {
    /// Listens on a random port of loopback.
    pub async fn open(plan: Plan, clock: &Clock) -> Result<Self, BrokerError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(BrokerError::Listen)?;
        let address = listener.local_addr().map_err(BrokerError::Listen)?;
        let nonce = Nonce::new().ok_or(BrokerError::Random)?;
        let record = Arc::new(Record::default());
        let authority = Authority::new(clock.now())?;
        let door = Door {
            nonce: nonce.duplicate(),
            outside: Outside::new(plan.proxy.as_ref(), plan.roots.as_deref()).map_err(BrokerError::Proxy)?,
            silence: plan.patience.silence,
            registries: registries(plan, &authority, &record)?,
            record: Arc::clone(&record),
            crowd: Crowd::new(),
        };
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(listener, Arc::new(door), stop.clone()));
        failpoint!("agent.broker.listening");
        Ok(Self { address, nonce, authority: authority.pem().to_owned(), record, stop, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The proxy's address with user and nonce, for `HTTPS_PROXY`.
    pub fn proxy(&self) -> Secret {
        self.nonce.in_url(USER, self.address)
    }

    /// The same for programs that are to be passed through everywhere, also to the hosts that are ended here: those
    /// that do more than GET and HEAD, or do not trust [`Broker::authority`].
    pub fn passing_proxy(&self) -> Secret {
        self.nonce.in_url(PASSING, self.address)
    }

    /// The users of both, and the nonce: it must not be told.
    pub fn logins(&self) -> [(&'static str, Secret); 2] {
        [USER, PASSING].map(|user| (user, self.nonce.password()))
    }

    /// The certificate of the authority that vouches for the registries, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Ends it: when this is done nothing listens, every connection of the step is cut, and no credential is held any more.
    pub async fn close(mut self) -> Seen {
        self.stop.cancel();
        // A task of ours that panicked is over as well.
        let _ = (&mut self.listening).await;
        self.record.take()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn listen(listener: TcpListener, door: Arc<Door>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(door::serve(stream, Arc::clone(&door)))),
                Err(error) => {
                    tracing::warn!(%error, "the broker cannot accept a connection");
                    tokio::time::sleep(BREATHER).await;
                }
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// The hosts that are ended here.
fn registries(plan: Plan, authority: &Authority, record: &Arc<Record>) -> Result<HashMap<String, Ended>, BrokerError> {
    let Plan { credentials, tokens, services, roots, proxy, patience, new_tokens } = plan;
    let outward = Outward { roots: roots.as_deref(), proxy: proxy.as_ref(), patience, new_tokens: Some(&new_tokens) };
    let mut hosts: BTreeMap<String, (Vec<&RegistryCredential>, Option<Secret>)> = BTreeMap::new();
    for credential in &credentials {
        let alias = credential.address.is_docker_hub().then_some(DOCKER_HUB_INDEX);
        for host in [credential.address.host()].into_iter().chain(alias) {
            hosts.entry(host.to_owned()).or_default().0.push(credential);
        }
    }
    for (host, token) in tokens {
        hosts.entry(host).or_default().1 = Some(token);
    }
    let end = |(host, (held, token)): (String, (Vec<&RegistryCredential>, Option<Secret>))| {
        let upstream = Upstream::new(&host, &held, outward)?;
        let target = Target::of_host(&host).ok_or_else(|| BrokerError::Token(host.clone()))?;
        let modules = token.map(|token| {
            Authorization::bearer(&token)
                .map(|token| ModuleRegistry::new(&host, token, &services))
                .ok_or_else(|| BrokerError::Token(host.clone()))
        });
        let (tls, record) = (authority.listener(&target.name())?, Arc::clone(record));
        Ok((host.clone(), Ended { host, upstream, tls, modules: modules.transpose()?, record }))
    };
    hosts.into_iter().map(end).collect()
}
