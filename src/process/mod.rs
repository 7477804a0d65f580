//! Children: spawn, supervise, exit reason. A synchronous core that knows nothing of tofu.
//!
//! Rule: a child starts with an empty environment, by an absolute path, in a process group of its own, and is
//! signalled through a pidfd, so that no signal can reach a stranger that got its number.

mod capture;
mod exit;
mod spawn;
mod supervise;
pub mod tree;

pub use capture::{CaptureError, Captured, capture};
pub use exit::ExitReason;
pub use spawn::{Child, CommandLine, ProcessGroup, SpawnError, spawn};
pub use supervise::{CancelReason, Escalation, Force, Grace};
