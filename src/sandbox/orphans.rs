//! What a dead launcher leaves: found, killed and reaped by the agent.
//!
//! Rule: only what lived below a launcher is touched. A launcher leads a session of its own and nothing can join
//! another session, so a child of ours in a foreign session that is no living launcher is such an orphan, and the
//! status of no other child of this process is ever taken.

use std::collections::BTreeSet;
use std::io;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, getpid, set_child_subreaper};

use crate::process::tree::{self, Killed};
use crate::process::{Child, ExitReason, SpawnError, spawn};

/// Numbers of the launchers that were not reaped yet. Held over spawn and over reap, so that none is ever missing.
static LAUNCHERS: Mutex<BTreeSet<i32>> = Mutex::new(BTreeSet::new());

/// Whether [`adopt_orphans`] was called: without it, a child in a foreign session is somebody else's.
static IS_ADOPTING: AtomicBool = AtomicBool::new(false);

/// How long orphans may take to die.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the agent cannot become the reaper of what launchers leave.
#[derive(Debug, thiserror::Error)]
#[error("cannot become the reaper of orphaned processes (PR_SET_CHILD_SUBREAPER)")]
pub struct OrphansError(#[source] io::Error);

/// Makes this process the parent of what its launchers leave behind when they are killed. Call it once at the agent's
/// start, before the first step, in a process that starts nothing with `setsid` but launchers. It takes the status of no child that others started.
pub fn adopt_orphans() -> Result<(), OrphansError> {
    set_child_subreaper(Some(getpid())).map_err(|errno| OrphansError(errno.into()))?;
    IS_ADOPTING.store(true, Ordering::Release);
    Ok(())
}

/// Starts a launcher and remembers it.
pub(super) fn spawn_launcher(command: Command) -> Result<Child, SpawnError> {
    let mut launchers = lock();
    let child = spawn(command)?;
    launchers.insert(child.pid().as_raw_pid());
    Ok(child)
}

/// Waits for a launcher that has ended, and forgets it.
pub(super) fn reap_launcher(child: Child) -> io::Result<ExitReason> {
    let mut launchers = lock();
    let pid = child.pid().as_raw_pid();
    let exit = child.wait();
    launchers.remove(&pid);
    exit
}

/// Kills and reaps everything that dead launchers left. Of one that was lost a step may live, so that what is not
/// listed is looked for among all processes as well.
pub(super) fn kill_orphans(is_lost: bool) -> Killed {
    if !IS_ADOPTING.load(Ordering::Acquire) {
        return Killed::default();
    }
    tree::kill_children(PATIENCE, || {
        let launchers = lock();
        let mut orphans = orphans(tree::child_numbers(getpid()), &launchers);
        if orphans.is_empty() && is_lost {
            let all = tree::all_children(getpid()).into_iter().map(|child| child.pid).collect();
            orphans = self::orphans(all, &launchers);
        }
        (launchers, orphans)
    })
}

/// Those of our children that are orphans.
fn orphans(mut children: Vec<Pid>, launchers: &BTreeSet<i32>) -> Vec<Pid> {
    let Some(own) = session(getpid()) else { return Vec::new() };
    children.retain(|child| !launchers.contains(&child.as_raw_pid()) && session(*child).is_some_and(|its| its != own));
    children
}

/// 0 for a session that was begun outside of our PID namespace (a container, a CI job). Asked of the kernel, because
/// `/proc` may hide the process.
fn session(process: Pid) -> Option<i32> {
    let process = nix::unistd::Pid::from_raw(process.as_raw_pid());
    nix::unistd::getsid(Some(process)).ok().map(nix::unistd::Pid::as_raw)
}

// Nothing in here panics while it holds the lock, and the set is right at every moment.
fn lock() -> MutexGuard<'static, BTreeSet<i32>> {
    LAUNCHERS.lock().unwrap_or_else(PoisonError::into_inner)
}
