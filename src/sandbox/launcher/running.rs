//! The step's process while it runs, in either sandbox.
//!
//! Rule: signals go to the one process; what ends all of it is the kernel in `namespace`, and in `process` a search of
//! everything below the launcher.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid};

use super::namespace::Confined;
use crate::process::tree::{self, Killed};
use crate::process::{Child, ExitReason};

/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The step's process.
pub(super) enum Running {
    OnHost(Child),
    Confined(Confined),
}

impl Running {
    pub(super) fn pid(&self) -> Pid {
        match self {
            Self::OnHost(child) => child.pid(),
            Self::Confined(confined) => confined.pid(),
        }
    }

    /// Becomes readable when the process has ended.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        match self {
            Self::OnHost(child) => child.pidfd(),
            Self::Confined(confined) => confined.pidfd(),
        }
    }

    /// Our child, whose status is taken at the end alone.
    pub(super) fn child(&self) -> Pid {
        match self {
            Self::OnHost(child) => child.pid(),
            Self::Confined(confined) => confined.init(),
        }
    }

    /// Sends it to the step's process alone.
    pub(super) fn signal(&self, signal: Signal) {
        match self {
            // A process that cannot be signalled any more has ended, which the next look shows.
            Self::OnHost(child) => drop(child.signal(signal)),
            Self::Confined(confined) => confined.signal(signal),
        }
    }

    /// Kills all of it.
    pub(super) fn kill(&self) {
        self.signal(Signal::KILL);
        tree::kill_descendants(getpid(), PATIENCE);
    }

    /// Takes the status of the process that has ended; kills and reaps what it left behind.
    pub(super) fn finish(self) -> (ExitReason, Killed) {
        let (exit, with_init) = match self {
            // A process that cannot be waited for is one that this launcher does not have: impossible, no success.
            Self::OnHost(child) => (child.wait().unwrap_or(ExitReason::Signal(0)), 0),
            Self::Confined(mut confined) => {
                let exit = confined.exit();
                // The kernel kills them with init.
                let left = tree::descendants(confined.init()).iter().filter(|process| !process.is_zombie).count();
                confined.end();
                (exit, u32::try_from(left).unwrap_or(u32::MAX))
            }
        };
        let mut killed = tree::kill_children(PATIENCE, || ((), tree::child_numbers(getpid())));
        killed.killed = killed.killed.saturating_add(with_init);
        // No child is the only proof; a picture of the tree may miss what was forked meanwhile.
        if tree::has_children() {
            killed.survivors = killed.survivors.max(1);
        }
        (exit, killed)
    }
}
