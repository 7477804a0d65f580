//! What agent and launcher say to each other.
//!
//! Rule: both are the same binary, so there is no version. This is the only file of the sandbox that serialises
//! secrets, and they go to the launcher's socket alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};

use super::Environment;
use crate::process::{ExitReason, Grace};
use crate::secret::{Secret, serialize_exposed};

/// Longest message to the launcher, in bytes: environment and secret files are in it.
pub(super) const LONGEST_TO_LAUNCHER: usize = 8 * 1024 * 1024;

/// Longest message to the agent, in bytes.
pub(super) const LONGEST_TO_AGENT: usize = 64 * 1024;

/// What a step runs in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sandbox {
    /// Mount and PID namespaces of its own (and a user namespace, unless we are root): it sees the [`View`] and its own
    /// processes alone, and the kernel kills all of it with its init.
    Namespace,
    /// The host as this user sees it, less what Landlock keeps from it; the launcher is the subreaper.
    Process,
}

impl Sandbox {
    /// The word for it in settings, receipts and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Namespace => "namespace",
            Self::Process => "process",
        }
    }
}

/// What a step sees of the host, besides the system's programs, libraries and names. Absolute paths; what is not there
/// is passed over.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// May be changed: the run directory and what else belongs to the run.
    pub writable: Vec<PathBuf>,
    /// May be read and executed.
    pub readable: Vec<PathBuf>,
    /// Unix sockets that are there at their own paths. In [`Sandbox::Process`] nothing keeps a step from any socket.
    pub sockets: Vec<PathBuf>,
    /// Is never seen, also not within what may be read; what is named above stays visible in it.
    pub hidden: Vec<PathBuf>,
    /// Whether there is a `/proc`. Without one, an expression of a configuration cannot read an environment.
    pub has_processes: bool,
}

/// One step's process, and everything around it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    /// What it runs in.
    pub sandbox: Sandbox,
    /// What it sees.
    pub view: View,
    /// Absolute path.
    pub program: PathBuf,
    /// Without the program's own name. No secret: every user of the host can read them.
    pub arguments: Vec<String>,
    /// All of it, but for `PWD`, which becomes the working directory.
    #[serde(serialize_with = "serialize_environment")]
    pub environment: Environment,
    /// Where it starts.
    pub working_directory: PathBuf,
    /// The run directory, and what else the step needs until its end. The launcher holds a shared `flock` on each as
    /// long as it lives, so whoever gets an exclusive one knows that no step is at work there.
    pub lock_directories: Vec<PathBuf>,
    /// Files that live no longer than the step and no longer than the agent.
    pub secret_directory: Option<SecretDirectory>,
    /// What becomes of the step when the agent is gone.
    pub when_agent_dies: WhenAgentDies,
    /// What the process may use.
    pub limits: Limits,
}

/// A directory of secret files, made and wiped by the launcher. Use [`super::SecretRoot::directory`] to name one.
#[derive(Debug, Serialize, Deserialize)]
pub struct SecretDirectory {
    /// Existing directory of this user, 0700, on tmpfs or ramfs.
    pub root: PathBuf,
    /// The new directory's name in it: one path component that nobody used before.
    pub name: String,
    /// What is in it.
    pub files: Vec<SecretFile>,
    /// Whether a root on disk is accepted: the files can then be found on the disk later.
    pub allow_disk: bool,
}

impl SecretDirectory {
    /// Absolute path, for whatever must name the files before they exist.
    pub fn path(&self) -> PathBuf {
        self.root.join(&self.name)
    }
}

/// One secret file, mode 0600.
#[derive(Debug, Serialize, Deserialize)]
pub struct SecretFile {
    /// Below the secret directory; missing directories are made, 0700.
    pub path: PathBuf,
    /// All of it.
    #[serde(serialize_with = "serialize_exposed")]
    pub content: Secret,
}

/// What the launcher does when the agent is gone. The secret directory is wiped at once in either case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAgentDies {
    /// Kill the tree at once: steps that can be repeated.
    Kill,
    /// SIGINT, wait, SIGINT, wait a minute, kill: steps that write state. Output is read and thrown away meanwhile.
    Interrupt {
        /// Between the first and the second SIGINT.
        wait: Duration,
    },
}

impl WhenAgentDies {
    /// [`WhenAgentDies::Interrupt`] with the usual ten minutes.
    pub fn interrupt() -> Self {
        Self::Interrupt { wait: Duration::from_mins(10) }
    }
}

/// What the step's process may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Open files (`RLIMIT_NOFILE`); `None` leaves the agent's limit.
    pub open_files: Option<u64>,
    /// Longest file that it may write, in bytes (`RLIMIT_FSIZE`).
    pub file_size_bytes: Option<u64>,
    /// Processes and threads at the same time (`RLIMIT_NPROC`). The kernel counts by user and user namespace, and root
    /// without limit, so it is set only in [`Sandbox::Namespace`] of an ordinary user, where it counts the step alone.
    pub processes: Option<u64>,
    /// Added to how readily the kernel kills it when memory is short, 0 to 1000.
    pub oom_score_adjustment: u16,
}

impl Default for Limits {
    /// No limit, and 500: the kernel takes a step before the agent.
    fn default() -> Self {
        Self { open_files: None, file_size_bytes: None, processes: None, oom_score_adjustment: 500 }
    }
}

/// Why the launcher did not start the step's process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Refusal {
    /// Would be 127 in a shell.
    #[error("program {} does not exist; hint: check its path in the settings", .program.display())]
    ProgramMissing {
        /// What was to be started.
        program: PathBuf,
    },
    /// Would be 126 in a shell.
    #[error("program {} is not executable; hint: check its mode, and `noexec` of its file system", .program.display())]
    ProgramNotExecutable {
        /// What was to be started.
        program: PathBuf,
    },
    /// It cannot be entered.
    #[error("cannot enter the working directory {}: {detail}", .path.display())]
    WorkingDirectory {
        /// What was to be entered.
        path: PathBuf,
        /// What the kernel said.
        detail: String,
    },
    /// It cannot be locked: it is missing, or somebody is about to remove it.
    #[error("cannot lock the run directory {}: {detail}", .path.display())]
    LockDirectory {
        /// What was to be locked.
        path: PathBuf,
        /// What the kernel said.
        detail: String,
    },
    /// The secret root is neither tmpfs nor ramfs.
    #[error(
        "secret root {} is on a disk (file system type {file_system:#x}), where secrets can be found after they are removed; hint: name a directory on tmpfs",
        .root.display()
    )]
    SecretRootOnDisk {
        /// What was given.
        root: PathBuf,
        /// `f_type` of statfs(2).
        file_system: u64,
    },
    /// The secret root is not a directory of ours alone.
    #[error("secret root {} cannot be used: {detail}", .root.display())]
    SecretRoot {
        /// What was given.
        root: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The directory or a file in it could not be made.
    #[error("cannot make the secret directory {}: {detail}", .path.display())]
    SecretDirectory {
        /// What was to be made.
        path: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The file system of the secret root is full.
    #[error("no space for secret files in {}; hint: free some, or choose another secret root", .root.display())]
    NoSpace {
        /// The secret root.
        root: PathBuf,
    },
    /// The sandbox `namespace` cannot be made.
    #[error(
        "cannot make the sandbox `namespace`: {detail}; hint: `nigari doctor` tells what this host allows, `sandbox = \"process\"` does without namespaces"
    )]
    Namespace {
        /// What failed.
        detail: String,
    },
    /// Anything else that kept the process from starting.
    #[error("cannot start {}: {detail}", .program.display())]
    Start {
        /// What was to be started.
        program: PathBuf,
        /// What went wrong.
        detail: String,
    },
    /// Agent and launcher did not understand each other.
    #[error("launcher could not read what to start: {detail}")]
    Protocol {
        /// What went wrong.
        detail: String,
    },
}

/// Agent to launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToLauncher {
    /// The first message, once.
    Launch(Box<Launch>),
    /// One SIGINT to the step's process alone.
    Interrupt,
    /// SIGINT, grace, SIGINT, grace, kill. A later one replaces an earlier one.
    Cancel(Grace),
    /// SIGKILL to the whole tree, now.
    Kill,
}

/// Launcher to agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ToAgent {
    /// The process runs.
    Started {
        /// Its number in the launcher's PID namespace, which is the agent's.
        pid: i32,
        /// Whether it has a `/proc`.
        has_processes: bool,
    },
    /// It does not, and will not.
    Refused(Refusal),
    /// It has ended, and nothing that it started is left.
    Exited(Exited),
    /// The secret directory was wiped, or not.
    Wiped(Result<(), String>),
}

/// Init to launcher.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FromInit {
    /// The process runs. Descriptors follow: a pidfd of it and, if there are secrets, their directory.
    Started {
        /// Whether there are secrets.
        has_secrets: bool,
        /// Whether the step has a `/proc`: not every host lets one be mounted.
        has_processes: bool,
    },
    /// It does not, and will not.
    Refused(Refusal),
    /// The process has ended; what it started may live.
    Ended(ExitReason),
}

/// How the step's process ended.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) struct Exited {
    pub(super) exit: ExitReason,
    pub(super) out_of_memory: bool,
    pub(super) leftovers: u32,
    pub(super) survivors: u32,
}

/// Whether `path` stays below the directory that it is joined to, and names something.
pub(super) fn is_below(path: &Path) -> bool {
    let mut components = path.components().peekable();
    components.peek().is_some() && components.all(|component| matches!(component, std::path::Component::Normal(_)))
}

/// One value of an environment on its way to the launcher.
#[derive(Serialize)]
struct Exposed<'a>(#[serde(serialize_with = "serialize_exposed")] &'a Secret);

fn serialize_environment<S: Serializer>(environment: &Environment, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for (name, value) in environment.iter() {
        map.serialize_entry(name, &Exposed(value))?;
    }
    map.end()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::is_below;

    #[test]
    fn only_plain_relative_paths_stay_below() {
        for good in ["config.json", "docker/config.json"] {
            assert!(is_below(Path::new(good)), "{good}");
        }
        for bad in ["", "/etc/passwd", "../x", "docker/../../x", "./x", ".", "..", "/"] {
            assert!(!is_below(Path::new(bad)), "{bad}");
        }
    }
}
