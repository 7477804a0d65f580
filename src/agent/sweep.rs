//! What an earlier agent left on this host: secrets first, then run directories, then the receipts that it owes.
//!
//! Rule: only what nobody holds is touched. A launcher that outlived its agent holds its run's directories, on disk and
//! in memory, until its tofu has ended; then a state that could not be written is rescued, and only then they go.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

use super::failure::failure;
use super::private::is_still;
use super::receipt_note::{self, Owed};
use super::session::Session;
use super::{AgentError, Host, late_receipt, mark, rescue};
use crate::protocol::agent::{FailureClass, Finish, KeptState, Outcome};
use crate::protocol::id::{RequestId, RunId};
use crate::protocol::run::Step;
use crate::sandbox::{Files, remove_copy, remove_tree, sweep_all};

/// How often a directory that is still held is looked at again.
const PAUSE: Duration = Duration::from_secs(2);

/// Wipes left secret directories. Blocks.
pub(crate) fn secrets(host: &Host) -> Result<(), AgentError> {
    let swept = sweep_all(&host.secret_roots)?;
    for path in &swept.swept {
        tracing::warn!(path = %path.display(), "a secret directory of an earlier agent was wiped");
    }
    Ok(())
}

/// Looks after every run directory that is there now, until none of them is left, and after what its launcher still
/// held in memory; then the receipts of those runs can be told.
pub(crate) fn directories(
    host: Arc<Host>,
    session: Session,
) -> impl Future<Output = Result<(), AgentError>> + Send + 'static {
    // Before this agent claims anything: what it notes itself is not an earlier one's.
    let owed = receipt_note::owed(&host.settings.state_directory);
    async move {
        let entries = std::fs::read_dir(&host.settings.run_root).into_iter().flatten().flatten();
        let named = entries.filter_map(|entry| entry.file_name().to_str().and_then(|name| name.parse().ok()));
        let runs: BTreeSet<RunId> = named.chain(owed.iter().map(|owed| owed.run)).collect();
        let each = runs.into_iter().map(|run| all_of(&host, &session, run, &owed));
        futures_util::future::try_join_all(each).await.map(drop)
    }
}

async fn all_of(host: &Arc<Host>, session: &Session, run: RunId, owed: &[Owed]) -> Result<(), AgentError> {
    one(host, session, run).await?;
    // No launcher of the run is alive, and no secret of it is left: the receipt says so.
    for owed in owed.iter().filter(|owed| owed.run == run) {
        late_receipt::tell_owed(session, owed, host.clock.now()).await;
    }
    Ok(())
}

async fn one(host: &Arc<Host>, session: &Session, run: RunId) -> Result<(), AgentError> {
    let path = host.settings.run_root.join(run.to_string());
    let lock = loop {
        let lock = match File::open(&path) {
            Ok(lock) => lock,
            // Gone: whoever held it has done the work.
            Err(error) if error.kind() == io::ErrorKind::NotFound => break None,
            Err(error) => {
                tracing::warn!(%run, %error, "the directory of a run of an earlier agent cannot be opened; it is tried on");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && is_still(&lock, &path) {
            break Some(lock);
        }
        tokio::time::sleep(PAUSE).await;
    };
    if let Some(lock) = lock {
        failpoint!("agent.sweep.locked");
        clear(host, session, run, &path).await;
        drop(lock);
    }
    let host = Arc::clone(host);
    super::blocking(move || secrets(&host)).await
}

/// Rescues and removes a run's directory, which is locked.
async fn clear(host: &Host, session: &Session, run: RunId, path: &Path) {
    if let Some(epoch) = mark::read(path) {
        report_apply(host, session, run, epoch, path).await;
    }
    let removed = rescue::keep_aside(host, path)
        .and_then(|_| remove_tree(path, Files::Unlinked))
        .and_then(|()| remove_copy(path));
    failpoint!("agent.sweep.removed");
    tell_of_kept(host, session, run).await;
    match removed {
        Ok(()) => tracing::warn!(%run, "the directory of a run of an earlier agent was removed"),
        Err(error) => tracing::error!(%run, %error, "the directory of a run of an earlier agent is left"),
    }
}

/// An apply had been reported and its agent died: the server waits for a word, and maybe for the state.
async fn report_apply(host: &Host, session: &Session, run: RunId, epoch: i64, path: &Path) {
    let server = session.client.leased_run(run, epoch);
    let rescued = rescue::state(host, path, &server).await;
    failpoint!("agent.sweep.rescued");
    let message = "the agent died during the apply; tofu was interrupted and has ended";
    let hint = rescued.unwrap_or_else(|| "look at what was made, then plan again".to_owned());
    let mut failed = failure(FailureClass::Infrastructure, message, Some(hint));
    failed.step = Some(Step::Apply);
    let finish = Finish {
        request: RequestId::generate(),
        outcome: Outcome::Failed,
        failure: Some(failed),
        plan: None,
        artifact_digest: None,
        run_directory: None,
        backend: None,
        receipt: None,
        log_bytes: 0,
    };
    failpoint!("agent.sweep.reporting");
    if let Err(error) = session.persist(host.settings.patience.state_write, || server.finish(&finish)).await {
        tracing::warn!(%run, %error, "the end of an earlier agent's apply could not be reported");
    }
}

/// The run's people must learn where its state is, whoever kept it aside and when.
async fn tell_of_kept(host: &Host, session: &Session, run: RunId) {
    for path in rescue::kept(host, run) {
        let kept = KeptState { path: path.display().to_string() };
        let told =
            session.persist(host.settings.patience.state_write, || session.client.state_kept_aside(run, &kept)).await;
        if let Err(error) = told {
            tracing::warn!(%run, %error, path = kept.path, "the server could not be told of a state that is kept aside");
        }
    }
}
