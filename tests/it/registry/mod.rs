//! The connection test, against a real registry and against hostile ones.

#![expect(clippy::unwrap_used, reason = "a failure in a test ends the test")]

mod hostile;
mod real;
mod realms;
pub(crate) mod stage;
