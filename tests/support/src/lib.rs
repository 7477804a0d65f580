//! Real parts for nigari's tests and its quickstart: tofu, an OCI registry, PostgreSQL, and the search for canaries.
//!
//! Rule: nothing in here knows nigari's code. It starts nigari as a program, like everybody else, so that a test
//! cannot pass by way of the inside. Few dependencies, none with C code, so that the quickstart speaks within seconds.

// What went wrong, in a sentence.
pub mod failure;

// Programs in the background: started with a log file, stopped by process id when dropped.
pub mod child;

// What an interrupted quickstart or test has left in temporary directories.
pub mod leftovers;

// A private certificate authority and the certificates that it signs.
pub mod certificate;

// A very small HTTP/1.1 client over a Unix socket or plain loopback.
pub mod http;

// The real programs, found on `PATH` or built by Go.
pub mod tools;

// nigari, tofu and registry, built side by side with progress.
pub mod builds;

// A zip archive, written by hand.
pub mod zip;

// OpenTofu module packages: a zip, and an OCI manifest around it.
pub mod module;

// OpenTofu provider packages in an OCI registry.
pub mod provider;

// A real private OCI registry on loopback.
pub mod registry;

// A real proxy, as companies have one.
pub mod squid;

// A real PostgreSQL, one database per test.
pub mod postgres;

// A booted systemd in a container.
pub mod systemd;

// Passwords that can be recognised, and every form in which they could leak.
pub mod canary;

// The search for canaries in files, directories, processes and bytes.
pub mod search;

// The attack that takes a credential out of every platform that writes it where tofu can read it.
pub mod thief;

// Looks at every process below this one while something runs.
pub mod watch;

// What a test needs, and what happens when it is not there.
pub mod require;

// How often a loop goes round.
pub mod loops;

// Random numbers that a failure can be repeated with.
pub mod dice;

// nigari itself: server and agent as processes, and any command with its output.
pub mod nigari;

// What the quickstart says: headed steps, typed commands, progress.
pub mod show;

pub use failure::{Failure, Outcome};
