//! The mark in a run's directory that its apply was reported, for the agent that comes after this one.

use std::fs;
use std::io;
use std::path::Path;

const NAME: &str = "applying";

/// Written before the apply is reported: a mark without an apply costs a question, the other way round costs a state.
pub(crate) fn write(run_directory: &Path, epoch: i64) -> io::Result<()> {
    fs::write(run_directory.join(NAME), epoch.to_string())
}

/// The epoch under which an apply was, or was about to be, reported.
pub(crate) fn read(run_directory: &Path) -> Option<i64> {
    fs::read_to_string(run_directory.join(NAME)).ok()?.trim().parse().ok()
}
