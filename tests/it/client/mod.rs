//! The client of the server: against the real one, and against a small one in this process that misbehaves as told.
//!
//! Rule: the small one only shows what a real server never would.

#![expect(clippy::unwrap_used, reason = "a failure in a test ends the test")]

mod agent_side;
mod answers;
mod garbage;
mod house;
mod real_server;
mod retries;
mod transport;
