//! OpenTofu itself: the program and its version, the words that start each step, and the two languages it reads.
//!
//! Rule: nothing here starts a process, opens a connection or sees a registry credential. What a step prints comes
//! in as bytes; what a step needs goes out as arguments and text.

// What OpenTofu would find for a registry by itself.
pub mod ambient;

// The argument list of each step.
pub mod arguments;

// Which backend a configuration has, and the override file that makes it ours.
pub mod backend;

// The CLI configuration (HCL 1): the operator's merged into ours, for the fetch step and for the steps after it.
pub mod cli_configuration;

// Finding the program.
pub mod find;

// From what a failed step printed to what a person can do.
pub mod hint;

// Configuration files (HCL 2 and its JSON form): which ones count, and what they say that matters to us.
pub mod language;

// Module sources that a configuration names, and modules that were fetched.
pub mod modules;

// The summary of a plan, from `tofu show -json`.
pub mod plan_json;

// Files that tofu left in its data directory.
mod record;

// `tofu version -json` and the gate.
pub mod version;
