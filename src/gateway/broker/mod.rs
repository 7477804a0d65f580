//! The registries' side of the gateway: an `HTTPS` proxy on loopback for one fetch step, which adds the authorisation
//! so that whoever fetches never sees a credential.
//!
//! Rule: it lives as long as its step. Only the registry hosts of this run are ended here, with an authority made for
//! this step; everything else is passed through untouched. Once closed nothing listens, every connection is cut, and
//! the secrets are gone.

mod asked;
mod authority;
mod body;
mod door;
mod ended;
mod headers;
mod module_registry;
mod record;
mod refusal;
mod target;
mod tunnel;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::Matcher;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

pub use record::Seen;

use self::authority::Authority;
use self::door::Door;
use self::ended::Ended;
use self::module_registry::ModuleRegistry;
use self::record::Record;
use self::target::Target;
use super::nonce::Nonce;
use crate::clock::Clock;
use crate::protocol::agent::RegistryCredential;
use crate::registry::upstream::{Outward, Patience, Unusable, Upstream};
use crate::registry::{Authorization, OutwardProxy};
use crate::secret::Secret;

/// Docker Hub under the other name that clients use; the same credentials are for both.
const DOCKER_HUB_INDEX: &str = "index.docker.io";
/// Connections of one step at the same time; more wait.
const CONNECTIONS: usize = 256;
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
    /// A token of the operator's CLI configuration that no header can carry.
    #[error("the token for `{0}` in the CLI configuration cannot be sent; hint: correct its `credentials` block")]
    Token(String),
}

/// What a broker is opened with; all of it is taken over.
#[derive(Debug)]
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
}

/// An open broker. Dropping it ends it too, but nobody hears then what it saw.
#[derive(Debug)]
pub struct Broker {
    address: SocketAddr,
    nonce: Nonce,
    authority: String,
    ended: Vec<String>,
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
            proxies: plan.proxy.as_ref().map_or_else(Matcher::from_env, OutwardProxy::matcher),
            registries: registries(plan, &authority, &record)?,
            record: Arc::clone(&record),
        };
        let ended =
            door.registries.keys().filter_map(|host| Target::of_host(host)).map(|target| target.name()).collect();
        let stop = CancellationToken::new();
        let listening = tokio::spawn(listen(listener, Arc::new(door), stop.clone()));
        failpoint!("agent.broker.listening");
        Ok(Self { address, nonce, authority: authority.pem().to_owned(), ended, record, stop, listening })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The proxy's address with user and nonce, for `HTTPS_PROXY`.
    pub fn proxy(&self) -> Secret {
        self.nonce.in_url(self.address)
    }

    /// Names of the hosts that are ended here: only GET and HEAD go there.
    pub fn ended(&self) -> &[String] {
        &self.ended
    }

    /// The certificate of the authority that vouches for the registries, in PEM.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Ends it: when this is done nothing listens, every connection is cut, and no credential is held any more.
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
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let accepted = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            (accepted, place) = accepted => match accepted {
                Ok((stream, _)) => {
                    let door = Arc::clone(&door);
                    connections.spawn(async move {
                        door::serve(stream, door).await;
                        drop(place);
                    });
                }
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
    let Plan { credentials, tokens, services, roots, proxy, patience } = plan;
    let outward = Outward { roots: roots.as_deref(), proxy: proxy.as_ref(), patience };
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
