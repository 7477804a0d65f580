//! The launcher, parent of every tofu, and what a step runs in.

pub mod launcher;

/// First word of the command line that makes this binary a launcher.
pub const LAUNCHER_WORD: &str = "__launcher";
