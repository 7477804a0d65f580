//! Settings of the agent, complete.
//!
//! Rule: the struct is what the agent works from, complete and checked; where each value came from (default, file,
//! environment, flag) is the business of `agent_layer`. What runs get of the environment is in here.

use std::ffi::OsString;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use url::Url;

pub use crate::protocol::delivery::DeliveryChoice;
use crate::secret::Secret;

/// Everything that an agent has to know.
#[derive(Debug)]
pub struct AgentSettings {
    /// The server: `https://…`, or `http://` on loopback.
    pub server: Url,
    /// PEM file with certificate authorities that may vouch for the server, besides the host's own roots.
    pub ca_file: Option<PathBuf>,
    /// File with the join token; read while `state_directory` holds no identity, and when the
    /// server does not know that any more.
    pub join_token_file: Option<PathBuf>,
    /// The agent's name, for people; default: the host's.
    pub name: String,
    /// Where the agent keeps its identity and rescued states. Made 0700 if it is missing.
    pub state_directory: PathBuf,
    /// Run directories are `<run_root>/<run id>`: absolute, equal within a pool. Made 0700 if it is missing.
    pub run_root: PathBuf,
    /// Where secret directories may be, best first; the first that is a real tmpfs or ramfs is taken.
    /// Default: `$RUNTIME_DIRECTORY`, `$XDG_RUNTIME_DIR`, `/dev/shm`.
    pub secret_roots: Vec<PathBuf>,
    /// The program; absent: the first `tofu` of `search_path`.
    pub tofu: Option<PathBuf>,
    /// `PATH`, for finding tofu and for what its steps may start (`git`, `ssh`).
    pub search_path: Option<OsString>,
    /// Runs at the same time. In the sandbox `process` a program of one run can read what the fetch step of another
    /// holds; with the delivery `file` an expression can, too.
    pub concurrency: NonZeroU32,
    /// How credentials come to tofu; see [`DeliveryChoice::and`] for what becomes of this and the workspace's wish.
    pub delivery: DeliveryChoice,
    /// What steps run in.
    pub sandbox: SandboxChoice,
    /// What steps may read besides the system and their own run, absolute; each exists.
    pub read_paths: Vec<PathBuf>,
    /// What a step may use.
    pub step_limits: StepLimits,
    /// The operator's CLI configuration of tofu: a file (absent: none is merged).
    pub cli_configuration: Option<PathBuf>,
    /// Whether the `credentials` blocks of that file stay readable in `init`, `plan`, `apply`; only the backends
    /// `remote` and `cloud` need it, and any configuration can then read them.
    pub keep_cli_credentials: bool,
    /// What every step gets of the agent's own environment: the variables whose names matched `pass_env`
    /// (names or patterns such as `AWS_*`), proxies included, as they were at the start.
    pub passed_environment: Vec<(OsString, Secret)>,
    /// As `passed_environment`, for the step `fetch` alone (`SSH_AUTH_SOCK` and the like).
    pub fetch_environment: Vec<(OsString, Secret)>,
    /// `HOME` of the steps; absent: an empty one per run.
    pub home: Option<PathBuf>,
    /// What ssh gets in the fetch step, for modules that git fetches.
    pub ssh: Ssh,
    /// The host's root certificates, one PEM file; absent: where the usual distributions keep them.
    pub system_roots: Option<PathBuf>,
    /// How long things may take.
    pub patience: Patience,
}

/// What ssh gets in the fetch step.
#[derive(Debug, Clone, Default)]
pub struct Ssh {
    /// File with the keys of hosts (sshd(8), `SSH_KNOWN_HOSTS`), instead of every other; absent: the agent's user's own
    /// and the host's.
    pub known_hosts: Option<PathBuf>,
    /// File with a private key without passphrase, mode 0600, the only one that is offered; absent: the ssh agent's, or
    /// the agent's user's own.
    pub key: Option<PathBuf>,
}

/// What steps run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SandboxChoice {
    /// `namespace` where it can be had, which is tried at the agent's start; else `process`, unless a step could then rule
    /// the host by a socket.
    #[default]
    Auto,
    /// Namespaces, or the agent does not start.
    Namespace,
    /// No namespaces.
    Process,
    /// As `Auto`, whatever sockets are in reach: on a person's own machine, where configurations can do no more by an agent
    /// than by tofu itself (`nigari up`). Cannot be written in settings.
    Own,
}

/// What a step may use; `None` leaves what the agent itself may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepLimits {
    /// Processes and threads at the same time, in the sandbox `namespace` of an ordinary user.
    pub processes: Option<u64>,
    /// Open files of one process.
    pub open_files: Option<u64>,
    /// Longest file in bytes.
    pub file_size_bytes: Option<u64>,
}

/// How long things may take before the next, harsher thing happens.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// How long a fetch step may take: the only step in which a registry credential exists, and one that talks to
    /// whatever hosts a configuration names.
    pub fetch: Duration,
    /// From the first interrupt of `fetch`, `init`, `plan`, `show` to the second; as long again to the kill.
    pub step: Duration,
    /// From the first interrupt of `apply` to the second. It is never killed but by a person's `kill`.
    pub apply: Duration,
    /// From a drain (first SIGTERM) to the interrupt of what still runs.
    pub drain: Duration,
    /// How long a state write is tried again while the server is away: refusing it orphans resources.
    pub state_write: Duration,
    /// How long other requests of a run are tried again while the server is away.
    pub request: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            fetch: Duration::from_mins(30),
            step: Duration::from_secs(30),
            apply: Duration::from_mins(10),
            drain: Duration::from_mins(30),
            state_write: Duration::from_mins(30),
            request: Duration::from_mins(2),
        }
    }
}
