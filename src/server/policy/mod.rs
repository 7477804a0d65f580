//! Who may do what: pure, no I/O.
//!
//! Rule: sealed things are sealed and opened only with a [`Permit`], and only the functions here make one.

pub mod agent;
pub mod permission;
pub mod permit;
pub mod user;

pub use agent::{AgentLease, ReleaseRefused};
pub use permission::Permission;
pub use permit::{Direction, Permit, Protected};
pub use user::{NotAllowed, Role};
