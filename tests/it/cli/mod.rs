//! What a person types: words, settings, exit codes, and the whole vocabulary once against a real server and agent.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test ends the test")]

mod agents;
mod answers;
mod approval;
mod begun_anew;
mod choices;
mod contexts;
mod example_settings;
mod explain;
mod hinted;
mod refusals;
mod runs;
mod terminal;
mod vocabulary;
mod waits;
mod words;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::child::{Finished, command, run};

/// The program under test.
pub(crate) fn program() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_nigari"))
}

/// A command with an empty environment and a home of its own.
pub(crate) fn nigari(home: &Path, arguments: &[&str]) -> Command {
    let mut nigari = command(program());
    nigari.env_clear().env("HOME", home).args(arguments);
    nigari
}

/// Runs a command with an empty environment.
pub(crate) fn typed(home: &Path, arguments: &[&str]) -> Finished {
    run(nigari(home, arguments)).unwrap()
}

/// Writes a file with that mode.
pub(crate) fn file(path: &Path, content: &str, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, content).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}
