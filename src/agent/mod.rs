//! One run on a host, in the order in which it happens: see `run.rs`. Around it, the agent's life: prepare the host,
//! sweep, open a session, claim until told to stop, drain.
//!
//! Rule: a failed run never ends the agent; a wipe that could not be verified always does.

mod alone;
mod artifact;
mod claim;
mod credentials;
mod directory;
mod error;
mod exposure;
mod failure;
mod host;
mod identity;
mod late_receipt;
mod log;
mod mark;
mod needles;
mod operator;
mod orders;
mod phase_log;
mod private;
mod providers;
mod reach;
mod receipt_note;
mod report;
mod rescue;
mod run;
pub(crate) mod sandbox_choice;
pub(crate) mod secret_roots;
mod session;
mod steps;
mod sweep;
mod view;
mod watch;
mod whole_run;

use std::sync::Arc;

use futures_util::FutureExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use error::{AgentError, AgentExit};
pub(crate) use exposure::{reachable_sockets, ruling_sockets};
pub use operator::OperatorError;

use crate::lifecycle::{self, Shutdown};
use crate::sandbox::{Launcher, adopt_orphans};
use crate::settings::agent::AgentSettings;
use claim::{Keeper, Lease};
use host::Host;
use orders::Order;
use run::SecretsRemain;
use session::Session;
use watch::Running;

/// How long to wait after an answer to a claim that makes no sense.
const ODD_PAUSE: std::time::Duration = std::time::Duration::from_secs(5);

/// Does runs until told to stop: see [`prepare`] and [`PreparedAgent::run`].
///
/// # Errors
/// [`AgentError`] says why it cannot begin or go on, and with which exit code.
pub async fn run_agent(settings: AgentSettings, launcher: Launcher, shutdown: Shutdown) -> Result<(), AgentError> {
    prepare(settings, launcher).await?.run(shutdown).await
}

/// An agent whose host has everything that runs will need.
#[derive(Debug)]
pub struct PreparedAgent(Arc<Host>);

/// Looks at everything on this host that runs will need, and wipes what an earlier agent has left of secrets. No server is
/// needed yet.
///
/// # Errors
/// [`AgentError`] says what is wrong.
pub async fn prepare(settings: AgentSettings, launcher: Launcher) -> Result<PreparedAgent, AgentError> {
    adopt_orphans()?;
    let mut host = blocking(move || Host::prepare(settings, launcher)).await?;
    host.sandbox = sandbox_choice::choose(&host).await?;
    exposure::warn(&host.settings, host.sandbox);
    let host = Arc::new(host);
    failpoint!("agent.prepared");
    let swept = Arc::clone(&host);
    blocking(move || sweep::secrets(&swept)).await?;
    failpoint!("agent.swept");
    Ok(PreparedAgent(host))
}

impl PreparedAgent {
    /// What people call it.
    pub fn name(&self) -> &str {
        &self.0.settings.name
    }

    /// Does runs until told to stop: the first stage of `shutdown` finishes what runs, the second interrupts it.
    ///
    /// # Errors
    /// [`AgentError`] says why it cannot begin or go on, and with which exit code.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), AgentError> {
        work(self.0, shutdown).await
    }
}

async fn work(host: Arc<Host>, shutdown: Shutdown) -> Result<(), AgentError> {
    let keeper = Keeper::start().map_err(AgentError::Thread)?;
    let opened = tokio::select! {
        opened = Session::open(&host) => Some(opened?),
        () = shutdown.soft.cancelled() => None,
    };
    let Some((session, lifetime)) = opened else { return Ok(()) };
    lifecycle::ready("waiting for runs");
    host.launcher.stand_by(host.sandbox);
    failpoint!("agent.session.opened");
    let sweeping = tokio::spawn(sweep::directories(Arc::clone(&host), session.clone()));
    let mut sweeping = std::pin::pin!(failure_of(sweeping).fuse());
    let running = Running::default();
    let stop = shutdown.soft.child_token();
    let agent = Agent { host, session, keeper, running, stop, hard: shutdown.hard.clone() };
    let mut runs = JoinSet::new();
    let ended = tokio::select! {
        error = agent.session.clone().renew(lifetime) => Err(error),
        () = watch::follow(&agent.session, &agent.running, &agent.stop) => Ok(()),
        ended = agent.claim(&mut runs) => ended,
        error = &mut sweeping => Err(error),
    };
    agent.stop.cancel();
    // The session must outlive what still runs, so whatever goes wrong now is told at the end and hurries only.
    let trouble = Trouble::default();
    let beside = async {
        let session = agent.session.clone();
        let renewing = async {
            if ended.is_ok() {
                trouble.note(session.renew(lifetime).await);
            }
        };
        let sweeping = async { trouble.note(sweeping.await) };
        tokio::join!(renewing, sweeping, watch::follow(&agent.session, &agent.running, &agent.stop));
    };
    if ended.is_err() {
        trouble.told.cancel();
    }
    let drained = tokio::select! {
        drained = agent.drain(&mut runs, &trouble.told) => drained,
        () = beside => Ok(()),
    };
    agent.host.launcher.stand_down().await;
    gravest([ended, drained, trouble.into_result()])
}

/// The first error, unless a later one says that secrets may remain: nothing else may hide that.
fn gravest(results: [Result<(), AgentError>; 3]) -> Result<(), AgentError> {
    let mut errors: Vec<AgentError> = results.into_iter().filter_map(Result::err).collect();
    let at = errors.iter().position(|error| error.exit() == AgentExit::SecretsRemain).unwrap_or(0);
    if errors.is_empty() { Ok(()) } else { Err(errors.swap_remove(at)) }
}

/// What went wrong while runs were still at work: no reason to leave them, because an apply that is left is killed.
#[derive(Debug, Default)]
struct Trouble {
    told: CancellationToken,
    first: std::sync::OnceLock<AgentError>,
}

impl Trouble {
    fn note(&self, error: AgentError) {
        let _ = self.first.set(error);
        self.told.cancel();
    }

    fn into_result(self) -> Result<(), AgentError> {
        self.first.into_inner().map_or(Ok(()), Err)
    }
}

struct Agent {
    host: Arc<Host>,
    session: Session,
    keeper: Keeper,
    running: Running,
    /// Take nothing new.
    stop: CancellationToken,
    /// Interrupt what runs.
    hard: CancellationToken,
}

type Runs = JoinSet<Result<(), SecretsRemain>>;

impl Agent {
    /// Claims as long as there is room, until told to stop or secrets remain.
    async fn claim(&self, runs: &mut Runs) -> Result<(), AgentError> {
        let room = usize::try_from(self.host.settings.concurrency.get()).unwrap_or(usize::MAX);
        let mut result = Ok(());
        // Kept over the end of a run: a claim whose answer is thrown away would be lost until its lease ends.
        let mut next = Box::pin(claim::next(&self.session, &self.keeper, &self.stop));
        loop {
            let has_room = runs.len() < room;
            tokio::select! {
                claimed = &mut next, if has_room => {
                    match claimed {
                        Ok(Some(lease)) => self.begin(runs, lease),
                        Ok(None) => return result,
                        Err(error) => {
                            tracing::warn!(%error, "no claim");
                            tokio::time::sleep(ODD_PAUSE).await;
                        }
                    }
                    next.set(claim::next(&self.session, &self.keeper, &self.stop));
                }
                Some(ended) = runs.join_next() => {
                    result = result.and(judge(Some(ended)));
                    if result.is_err() {
                        self.stop.cancel();
                    }
                }
                () = self.stop.cancelled(), if !has_room => return result,
            }
        }
    }

    fn begin(&self, runs: &mut Runs, lease: Lease) {
        let entry = self.running.enter(lease.claim.run, &lease.orders);
        let host = Arc::clone(&self.host);
        runs.spawn(async move {
            let _entry = entry;
            Box::pin(run::run(&host, lease)).await
        });
    }

    /// Waits for what runs, all of it; interrupts it when the time is up, at the second signal, or at trouble.
    async fn drain(&self, runs: &mut Runs, trouble: &CancellationToken) -> Result<(), AgentError> {
        let patience = self.host.settings.patience.drain;
        let told = async {
            tokio::select! {
                () = tokio::time::sleep(patience) => {}
                () = self.hard.cancelled() => {}
                () = trouble.cancelled() => {}
            }
            self.running.tell_all(Order::Stop);
            std::future::pending::<()>().await;
        };
        let mut result = Ok(());
        let all = async {
            while let Some(ended) = runs.join_next().await {
                result = std::mem::replace(&mut result, Ok(())).and(judge(Some(ended)));
            }
        };
        tokio::select! {
            () = told => {}
            () = all => {}
        }
        result
    }
}

fn judge(ended: Option<Result<Result<(), SecretsRemain>, tokio::task::JoinError>>) -> Result<(), AgentError> {
    match ended {
        Some(Ok(Err(remains))) => Err(AgentError::SecretsRemain(remains.to_string())),
        Some(Err(panicked)) => {
            tracing::error!(%panicked, "a run ended by a fault of nigari's own");
            Ok(())
        }
        Some(Ok(Ok(()))) | None => Ok(()),
    }
}

/// Waits for an end that is a failure; for ever if there is none.
async fn failure_of(sweeping: tokio::task::JoinHandle<Result<(), AgentError>>) -> AgentError {
    match sweeping.await {
        Ok(Err(error)) => error,
        Ok(Ok(())) | Err(_) => std::future::pending().await,
    }
}

/// Runs what blocks where blocking is allowed.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AgentError> + Send + 'static,
) -> Result<T, AgentError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(fault) => Err(AgentError::Thread(std::io::Error::other(fault))),
    }
}
