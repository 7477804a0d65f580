//! Shutdown in two stages, and what systemd is told.
//!
//! Rule: the first SIGTERM or SIGINT asks (finish what runs, take nothing new), the second insists (end now, cleanly:
//! wiping is never skipped). Nobody else listens for signals.

use std::io;

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

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
    use super::Shutdown;

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
