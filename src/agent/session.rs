//! The agent's session with the server, renewed before it expires.
//!
//! Rule: a new session ends the earlier ones, so there is one at a time, shared by all who talk to the server; a
//! request that was overtaken by a renewal is tried again with the new token.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, Notify, watch};

use super::identity::{self, Proof};
use super::reach::Reach;
use super::{AgentError, Host};
use crate::client::{AgentClient, Client, ClientError, ClientOptions, ServerAddress, TokenSource, retry};
use crate::clock::BootInstant;
use crate::lifecycle;
use crate::protocol::PROTOCOL;
use crate::protocol::agent::{SessionAnswer, SessionRequest};
use crate::protocol::id::RequestId;
use crate::redact::Needles;
use crate::secret::Secret;
use crate::settings::AgentSettings;
use crate::tls;

/// The session; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// For everything that runs on the agent's own runtime.
    pub(crate) client: AgentClient,
    /// For the thread that keeps the leases: connections belong to the runtime that made them.
    pub(crate) lease_client: AgentClient,
    /// How long the server holds a long poll at most.
    pub(crate) hold: Duration,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    host: Arc<Host>,
    /// Held while a session is opened.
    identity: Mutex<Secret>,
    /// Counts sessions.
    generation: watch::Sender<u64>,
    /// This process, to tell its own new sessions from those of a copy.
    process: RequestId,
    ended: Ended,
    reach: Reach,
}

/// The server does not take this process any more: told to [`Session::renew`], which ends the agent.
#[derive(Debug, Default)]
struct Ended {
    superseded: AtomicBool,
    told: Notify,
}

impl Ended {
    fn superseded(&self) {
        if !self.superseded.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "another process uses this agent's identity (was the state directory copied?); this one takes no more \
                 runs and ends"
            );
            self.told.notify_one();
        }
    }
}

impl Session {
    /// Opens the first session, with the identity or the join token; tries for a while when the server is away.
    pub(crate) async fn open(host: &Arc<Host>) -> Result<(Self, Duration), AgentError> {
        let settings = &host.settings;
        let address: ServerAddress = settings.server.as_str().parse()?;
        let ca_pem = read_ca(settings.ca_file.as_deref())?;
        let token = TokenSource::none();
        let client = || {
            let options = ClientOptions { ca_pem: ca_pem.clone(), ..ClientOptions::default() };
            Client::new(address.clone(), token.clone(), options).map(AgentClient::new).map_err(failed)
        };
        let (client, lease_client) = (client()?, client()?);
        let proof = identity::load(&settings.state_directory, settings.join_token_file.as_deref())?;
        let (process, reach) = (RequestId::generate(), Reach::default());
        let request = request(host, process);
        // Said before the first try: who looks at a service that does not get ready must see what it waits for.
        tracing::info!(server = settings.server.as_str(), "asking for a session");
        lifecycle::status("waiting for the server");
        let (mut answer, proof) = first(settings, proof, (&client, &request, &reach)).await?;
        let identity = match (answer.identity.take(), proof) {
            (Some(identity), _) => {
                identity::keep(&settings.state_directory, &identity)?;
                identity
            }
            (None, Proof::Identity(identity) | Proof::Join(identity)) => identity,
        };
        redact(host, &identity, &answer);
        tracing::info!(agent = %answer.agent, pool = answer.pool_name, "session opened");
        let (identity, generation) = (Mutex::new(identity), watch::Sender::new(1));
        let ended = Ended::default();
        let shared = Shared { host: Arc::clone(host), identity, generation, process, ended, reach };
        let hold = Duration::from_secs(answer.hold_seconds);
        Ok((Self { client, lease_client, hold, shared: Arc::new(shared) }, lifetime(&answer)))
    }

    /// What people call this agent.
    pub(crate) fn name(&self) -> &str {
        &self.shared.host.settings.name
    }

    /// Opens new sessions before they expire, for ever; returns when the server refuses the agent or another process has
    /// its identity.
    pub(crate) async fn renew(self, mut lifetime: Duration) -> AgentError {
        let mut backoff = retry::Backoff::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(lifetime) => {}
                () = self.shared.ended.told.notified() => {}
            }
            if self.shared.ended.superseded.load(Ordering::Relaxed) {
                return AgentError::Superseded;
            }
            match self.reopen(*self.shared.generation.borrow()).await {
                Ok(next) => {
                    backoff.reset();
                    lifetime = next;
                }
                Err(error) if is_final(&error) => return refused(&self.shared.host.settings, &error),
                Err(error) => lifetime = backoff.next_pause(error.retry_after()),
            }
        }
    }

    /// Repeats an idempotent call until it succeeds, fails for good, or `patience` is over. A token that is not taken
    /// is replaced.
    pub(crate) async fn persist<T, F>(&self, patience: Duration, mut call: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        let deadline = BootInstant::now().after(patience);
        let mut renewed = 0;
        loop {
            let generation = *self.shared.generation.borrow();
            match retry::until(deadline, || self.shared.reach.note(call())).await {
                Err(error) if error.is_superseded() => {
                    self.shared.ended.superseded();
                    return Err(error);
                }
                Err(error) if error.status() == Some(401) && renewed < 3 => {
                    renewed += 1;
                    // Who was superseded must not supersede the other in turn.
                    if self.shared.ended.superseded.load(Ordering::Relaxed) {
                        return Err(error);
                    }
                    let reopened = self.reopen(generation).await;
                    if reopened.as_ref().is_err_and(is_final) {
                        self.shared.ended.told.notify_one();
                    }
                    reopened?;
                }
                answer => return answer,
            }
        }
    }

    /// Opens a new session, unless somebody else did since `generation`.
    async fn reopen(&self, generation: u64) -> Result<Duration, ClientError> {
        let identity = self.shared.identity.lock().await;
        if *self.shared.generation.borrow() != generation {
            return Ok(Duration::from_mins(1));
        }
        let request = request(&self.shared.host, self.shared.process);
        let answer = self.shared.reach.note(self.client.open_session(&identity, &request)).await?;
        redact(&self.shared.host, &identity, &answer);
        self.shared.generation.send_modify(|count| *count += 1);
        Ok(lifetime(&answer))
    }
}

/// Shows what there is to show. The join token takes the place of an identity on one word of the server's alone: that it
/// knows no such agent.
async fn first(
    settings: &AgentSettings,
    proof: Proof,
    (client, request, reach): (&AgentClient, &SessionRequest, &Reach),
) -> Result<(SessionAnswer, Proof), AgentError> {
    let deadline = BootInstant::now().after(settings.patience.request);
    let ask =
        async |proof: &Proof| retry::until(deadline, || reach.note(client.open_session(proof.token(), request))).await;
    let error = match (ask(&proof).await, &proof) {
        (Ok(answer), _) => return Ok((answer, proof)),
        (Err(error), Proof::Join(_)) => return Err(failed(error)),
        (Err(error), Proof::Identity(_)) => error,
    };
    let join = settings.join_token_file.as_deref().filter(|_| error.is_identity_unknown());
    match join.map(identity::join_token) {
        Some(Ok(join)) => {
            tracing::warn!(%error, "the server does not know this agent any more; it joins anew with the join token");
            let answer = ask(&join).await.map_err(failed)?;
            Ok((answer, join))
        }
        Some(Err(source)) if source.kind() != io::ErrorKind::NotFound => Err(AgentError::Directory {
            what: "join_token_file",
            path: settings.join_token_file.clone().unwrap_or_default(),
            source,
        }),
        _ if is_final(&error) => Err(refused(settings, &error)),
        _ => Err(failed(error)),
    }
}

/// The identity is not taken.
fn refused(settings: &AgentSettings, error: &ClientError) -> AgentError {
    AgentError::IdentityRefused { path: identity::path(&settings.state_directory), said: error.kind().to_string() }
}

/// Nothing that leaves the agent may carry its identity or the token of its session. An earlier token is worth nothing.
fn redact(host: &Host, identity: &Secret, answer: &SessionAnswer) {
    let mut needles = Needles::new();
    needles.secret(identity);
    needles.secret(&answer.session);
    host.redactions.replace(needles);
}

/// When to open the next one.
fn lifetime(answer: &SessionAnswer) -> Duration {
    Duration::from_secs(answer.session_seconds) / 2
}

fn request(host: &Host, process: RequestId) -> SessionRequest {
    SessionRequest {
        protocol_min: PROTOCOL,
        protocol_max: PROTOCOL,
        name: host.settings.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        concurrency: host.settings.concurrency.get(),
        tofu_version: host.version.to_string(),
        run_root: host.settings.run_root.display().to_string(),
        process: Some(process),
    }
}

fn read_ca(path: Option<&std::path::Path>) -> Result<Option<String>, AgentError> {
    let Some(path) = path else { return Ok(None) };
    let failed = |source| AgentError::Directory { what: "ca_file", path: path.to_owned(), source };
    let text = std::fs::read_to_string(path).map_err(failed)?;
    match tls::check_ca_pem(&text) {
        Ok(_) => Ok(Some(text)),
        Err(error) => Err(failed(std::io::Error::other(error))),
    }
}

fn is_final(error: &ClientError) -> bool {
    matches!(error.status(), Some(401 | 403)) && error.problem().is_some()
}

fn failed(error: ClientError) -> AgentError {
    if is_final(&error) { AgentError::Refused(Box::new(error)) } else { AgentError::Unavailable(Box::new(error)) }
}
