//! The launcher, parent of every tofu, and what a step runs in.
//!
//! The agent's side is [`Launcher`] and [`Step`]; the other side is [`launcher`], which is this binary started with
//! [`LAUNCHER_WORD`]. Rule: secrets reach the launcher through its socket alone, and whoever outlives the other
//! kills and wipes what the other left.

mod channel;
mod environment;
pub mod launcher;
mod orphans;
mod protocol;
mod secret_root;
mod step;
mod sweep;
mod wipe;

pub use environment::{Base, Environment, EnvironmentError, Sources};
pub use orphans::{OrphansError, adopt_orphans};
pub use protocol::{Launch, Limits, Refusal, Sandbox, SecretDirectory, SecretFile, WhenAgentDies};
pub use secret_root::{SecretRoot, SecretRootError};
pub use step::{Launcher, Output, Step, StepEnd, StepError, Wipe, Wiper};
pub use sweep::{Sweep, SweepError, sweep};

/// First word of the command line that makes this binary a launcher.
pub const LAUNCHER_WORD: &str = "__launcher";
