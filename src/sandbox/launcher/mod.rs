//! The launcher's side: one thread, no runtime, the parent of one step's process.

use std::process::ExitCode;

/// What the word `__launcher` runs.
pub fn main() -> ExitCode {
    ExitCode::FAILURE
}
