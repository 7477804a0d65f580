//! nigari: the way in which OpenTofu runs get their registry credentials.
//!
//! This page is the map: every module in reading order, one line each. What may use what is in
//! `tests/it/layering.rs`, which fails on everything else.

// Places at which a test lets this program die; no code without the feature `failpoints`.
#[macro_use]
mod failpoint;

// The one type that holds secret text.
pub mod secret;

// The only place that reads a clock.
pub mod clock;

// Data on the wire, no I/O: agent ↔ server, people ↔ server, and the names that no one may set.
pub mod protocol;

// What an operator writes: `agent.toml`, `server.toml`, the commands' context.
pub mod settings;

// Children: spawn, supervise, exit reason. Synchronous, knows nothing of tofu.
pub mod process;

// The launcher, parent of every tofu, and what a step runs in.
pub mod sandbox;

// OpenTofu itself: program, version gate, argument lists, its two languages.
pub mod tofu;

// What leaves a host without its secrets.
pub mod redact;

// The uploaded directory: pack, check, unpack.
pub mod configuration;

// OCI distribution client: challenge, token, manifest, connection test.
pub mod registry;

// HTTP client of the server.
pub mod client;

// The run's own door on loopback.
pub mod gateway;

// How credentials come to tofu in the fetch step.
pub mod delivery;

// One run on a host, in the order in which it happens.
pub mod agent;

// The control plane.
pub mod server;

// TLS for listeners and clients.
pub mod tls;

// Shutdown in two stages, systemd notification.
pub mod lifecycle;

// What fuzzers feed.
#[cfg(any(test, fuzzing))]
pub mod fuzzing;

// Log output.
pub mod logging;

// What a person types.
pub mod cli;
