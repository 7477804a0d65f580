//! The agent's side of a step: starts a launcher, talks to it, and cleans up after it if it dies.
//!
//! Rule: a step always ends with a word about its secret directory. If the launcher cannot give it, the agent wipes
//! and verifies itself.

mod driver;
mod launcher;

use std::path::PathBuf;

pub use launcher::Launcher;
use tokio::sync::{mpsc, oneshot};

use super::protocol::Refusal;
use crate::process::{ExitReason, Grace, SpawnError};

/// Standard output or standard error of a step, as the process writes it: the pipe itself, no copy in between.
/// Ends when the process and everything it started has ended. Keep reading: a full pipe stops the process.
pub type Output = tokio::net::unix::pipe::Receiver;

/// A running step. Dropping it without [`Step::wait`] kills the tree and wipes.
#[derive(Debug)]
pub struct Step {
    pid: i32,
    has_processes: bool,
    stdout: Option<Output>,
    stderr: Option<Output>,
    orders: mpsc::UnboundedSender<Order>,
    /// `None` when the end was given.
    end: Option<oneshot::Receiver<Result<StepEnd, StepError>>>,
}

/// What a [`Step`] wants from its driver.
#[derive(Debug, Clone, Copy)]
enum Order {
    Interrupt,
    Cancel(Grace),
    Kill,
}

/// How a step ended. Everything that it started is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    /// How its process ended.
    pub exit: ExitReason,
    /// Whether the kernel probably killed it for want of memory: it died by a SIGKILL that nobody here sent, and the
    /// host's count of such kills rose meanwhile.
    pub out_of_memory: bool,
    /// Whether the launcher died before the step: then the process was killed with it, and `exit` says so.
    pub launcher_lost: bool,
    /// Processes that were still alive when the step's process had ended, and were killed.
    pub leftovers: u32,
    /// Of these, how many the kernel would not let die in time (waiting for a device, say).
    pub survivors: u32,
    /// The wipe of the secret directory; `None` if there was none.
    pub wiped: Option<Wipe>,
}

/// A wipe that was verified: nothing of the secret directory is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wipe {
    /// Who did it.
    pub by: Wiper,
}

/// Who wiped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wiper {
    /// The launcher; the agent looked again.
    Launcher,
    /// The agent, because the launcher had died or failed.
    Agent,
    /// The kernel, because the launcher had died, and with it the sandbox `namespace`, which alone had the directory. The
    /// agent saw that nothing of the sandbox was alive.
    Kernel,
}

/// Why a step gave no end. Unless it is [`StepError::WipeUnverified`], no secret is left.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// The agent's own program cannot be opened.
    #[error("cannot open the launcher's program {}", .program.display())]
    OpenProgram {
        /// What was to be opened.
        program: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The launcher did not start.
    #[error("cannot start the launcher")]
    SpawnLauncher(#[source] SpawnError),
    /// Pipes, socket or the message to the launcher could not be made.
    #[error("cannot talk to the launcher: {detail}")]
    Channel {
        /// What failed.
        detail: String,
    },
    /// The launcher did not start the process.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The launcher died before it had said whether the process runs.
    #[error("launcher died before the step had started; hint: look for SIGKILL or lack of memory in the host's log")]
    LauncherLost,
    /// The launcher did not say in time whether the process runs, and was killed.
    #[error(
        "launcher did not begin the step within {seconds} s and was killed; hint: look for a file system that hangs \
         (a dead network mount among `read_paths`, say), or a process that was stopped"
    )]
    LauncherHung {
        /// How long it had.
        seconds: u64,
    },
    /// Secrets may remain: the agent ends with exit code 74.
    #[error(
        "secret directory {} may still hold secrets: {detail}; hint: remove it by hand, then start the agent again",
        .directory.display()
    )]
    WipeUnverified {
        /// The directory.
        directory: PathBuf,
        /// What was found or failed.
        detail: String,
        /// How the process ended, if it ran.
        exit: Option<ExitReason>,
    },
    /// The runtime is shutting down: the launcher does what the step's `when_agent_dies` says.
    #[error("step was left to its launcher, because the agent is going down")]
    Abandoned,
}

impl Step {
    /// The process's number in our PID namespace.
    pub fn process_id(&self) -> i32 {
        self.pid
    }

    /// Whether the process has a `/proc`: a host that hides parts of its own lets none be mounted in `namespace`.
    pub fn has_processes(&self) -> bool {
        self.has_processes
    }

    /// Standard output, once.
    pub fn stdout(&mut self) -> Option<Output> {
        self.stdout.take()
    }

    /// Standard error, once.
    pub fn stderr(&mut self) -> Option<Output> {
        self.stderr.take()
    }

    /// Sends one SIGINT to the process alone, not to what it started.
    pub fn interrupt(&self) {
        self.order(Order::Interrupt);
    }

    /// SIGINT, `grace.first`, SIGINT, `grace.second`, kill. The launcher does it, also if the agent dies meanwhile.
    pub fn cancel(&self, grace: Grace) {
        self.order(Order::Cancel(grace));
    }

    /// Kills the whole tree now.
    pub fn kill(&self) {
        self.order(Order::Kill);
    }

    /// Waits for the end, which is given once. Cancel safe: it is kept until then.
    pub async fn wait(&mut self) -> Result<StepEnd, StepError> {
        let Some(end) = &mut self.end else {
            return Err(StepError::Abandoned);
        };
        let end = end.await.unwrap_or(Err(StepError::Abandoned));
        self.end = None;
        end
    }

    // An order that comes after the end has nobody to go to, and needs nobody.
    fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}
