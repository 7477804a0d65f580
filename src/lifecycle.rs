//! Being the only one, shutdown in two stages, and what systemd is told.
//!
//! Rule: the first SIGTERM or SIGINT asks (finish what runs, take nothing new), the second insists (end now, cleanly:
//! wiping is never skipped). Nobody else listens for signals.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a lock may be held by what its process has left: a child of a process that was killed has it too, until it
/// executes its program.
const LEFT_BEHIND: Duration = Duration::from_secs(5);

/// How often it is tried again meanwhile.
const TRY_AGAIN: Duration = Duration::from_millis(20);

/// Opens and locks a file for this process alone, for as long as the result lives; `None` if another has it. Blocks.
///
/// # Errors
/// When the file can be neither opened nor made.
pub(crate) fn lock_alone(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let end = Instant::now() + LEFT_BEHIND;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) if Instant::now() >= end => return Ok(None),
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(TRY_AGAIN),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// The two stages of a shutdown; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    /// Finish what runs, take nothing new, then end.
    pub soft: CancellationToken,
    /// End now: cancel what runs, wipe, report if possible. Implies `soft`.
    pub hard: CancellationToken,
}

impl Shutdown {
    /// Neither stage has come.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes one stage further.
    pub fn advance(&self) {
        if self.soft.is_cancelled() {
            self.hard.cancel();
        } else {
            self.soft.cancel();
        }
    }

    /// Both stages at once.
    pub fn now(&self) {
        self.soft.cancel();
        self.hard.cancel();
    }

    /// Goes one stage further with each SIGTERM or SIGINT, until the returned task is dropped with the runtime.
    ///
    /// # Errors
    /// When the signals cannot be listened for.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            loop {
                let name = tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                };
                shutdown.advance();
                if shutdown.hard.is_cancelled() {
                    tracing::warn!(signal = name, "stopping at once");
                } else {
                    tracing::info!(signal = name, "stopping when what runs has ended; a second signal stops at once");
                    notify(&[NotifyState::Stopping, NotifyState::Status("finishing what runs, taking nothing new")]);
                }
            }
        });
        Ok(())
    }
}

/// Makes this process' memory its own: no other process of the same user may read it, and it leaves no core. For
/// services, which hold keys and tokens; children that are executed anew do not inherit the first.
///
/// # Errors
/// When the kernel refuses.
pub fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}

/// Tells systemd that the service does its work from now on, and how it is.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// Tells systemd how the service is.
pub fn status(text: &str) {
    notify(&[NotifyState::Status(text)]);
}

/// Tells systemd regularly that the runtime still turns, if it asked for that (`WatchdogSec=`). A runtime that is
/// stuck stops telling it, and systemd restarts the service.
pub fn feed_watchdog() {
    let Some(period) = sd_notify::watchdog_enabled() else { return };
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(period / 3);
        loop {
            ticks.tick().await;
            notify(&[NotifyState::Watchdog]);
        }
    });
}

/// Without systemd there is nobody to tell; a failure to tell it is no reason to end.
fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(error = %error, "systemd was not told");
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use rustix::fs::{FlockOperation, flock};

    use super::{Shutdown, lock_alone};
    use crate::process::{CommandLine, spawn};

    #[test]
    fn a_lock_is_waited_for_that_goes_soon_and_refused_while_somebody_keeps_it() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join("agent.lock");
        let mut line = CommandLine::new("/usr/bin/flock");
        line.arguments = vec!["--no-fork".into(), path.clone().into(), "/bin/sleep".into(), "1".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        let is_held = || {
            let file = File::open(&path);
            file.is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_err())
        };
        while !is_held() && !child.wait_ended(Some(Duration::ZERO)).unwrap() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let held = lock_alone(&path).unwrap();
        assert!(held.is_some());
        assert!(lock_alone(&path).unwrap().is_none());
        child.wait().unwrap();
    }

    #[test]
    fn the_first_signal_asks_and_the_second_insists() {
        let shutdown = Shutdown::new();
        let seen = shutdown.clone();
        shutdown.advance();
        assert!(seen.soft.is_cancelled() && !seen.hard.is_cancelled());
        shutdown.advance();
        assert!(seen.hard.is_cancelled());
    }

    #[test]
    fn now_is_both() {
        let shutdown = Shutdown::new();
        shutdown.now();
        assert!(shutdown.soft.is_cancelled() && shutdown.hard.is_cancelled());
    }
}
