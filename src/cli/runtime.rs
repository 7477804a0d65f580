//! The tokio runtimes: small, because a resident megabyte is paid on every host.
//!
//! Rule: one thread for a command, two workers for server and agent. The end does not wait for a thread that still
//! reads the terminal.

use tokio::runtime::{Builder, Runtime as Tokio};

use super::error::CommandError;
use crate::lifecycle;

/// A runtime, for one future.
#[derive(Debug)]
pub(super) struct Runtime(Tokio);

/// For a command.
pub(super) fn for_command() -> Result<Runtime, CommandError> {
    build(Builder::new_current_thread().max_blocking_threads(8))
}

/// For server and agent; before any of their threads, the process is made unreadable for others.
pub(super) fn for_service() -> Result<Runtime, CommandError> {
    lifecycle::harden().map_err(|source| CommandError::io("cannot protect this process", source))?;
    build(Builder::new_multi_thread().worker_threads(2).max_blocking_threads(64))
}

fn build(builder: &mut Builder) -> Result<Runtime, CommandError> {
    builder.enable_all().build().map(Runtime).map_err(|source| CommandError::io("cannot start the runtime", source))
}

impl Runtime {
    /// Runs `future` to its end.
    pub(super) fn run<T>(self, future: impl Future<Output = T>) -> T {
        let result = self.0.block_on(future);
        self.0.shutdown_background();
        result
    }
}
