//! The launcher, parent of every tofu, and what a step runs in.
//!
//! The agent's side is [`Launcher`] and [`Step`]; the other side is [`launcher`], which is this binary started with
//! [`LAUNCHER_WORD`]; in the sandbox `namespace` the launcher starts [`init`], which is this binary once more. Rule: secrets reach the launcher through its socket alone, and whoever outlives the other
//! kills and wipes what the other left.

mod capabilities;
mod channel;
mod environment;
pub mod init;
mod landlock;
pub mod launcher;
// What tofu starts for a module.
pub mod nested;
mod orphans;
mod own_program;
mod probe;
mod protocol;
mod secret_file;
mod secret_root;
mod start;
mod step;
mod sweep;
mod wipe;

pub use environment::{Base, Environment, EnvironmentError, Origin, Sources};
pub use landlock::{landlock_version, left_open};
pub use orphans::{OrphansError, adopt_orphans};
pub use own_program::{FileId, OwnProgram, remove_copy};
pub use probe::{Probed, probe};
pub use protocol::{Launch, Limits, Refusal, Sandbox, SecretDirectory, SecretFile, View, WhenAgentDies};
pub use secret_root::{SecretRoot, SecretRootError};
pub use step::{Launcher, Output, Step, StepEnd, StepError, Wipe, Wiper};
pub use sweep::{Sweep, SweepError, left_behind, sweep, sweep_all};
pub use wipe::{Files, empty_directory, remove_tree};

/// First word of the command line that makes this binary a launcher.
pub const LAUNCHER_WORD: &str = "__launcher";

/// First word of the command line that makes this binary the first process of a sandbox `namespace`.
pub const INIT_WORD: &str = "__init";
