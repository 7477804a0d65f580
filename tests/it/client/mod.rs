//! The client of the server, against a small server in this process that misbehaves as told.
//!
//! Rule: what a real nigari server answers is tested with the real one; here is what it never would.

#![expect(clippy::unwrap_used, reason = "a failure in a test ends the test")]

mod agent_side;
mod answers;
mod house;
mod retries;
mod transport;
