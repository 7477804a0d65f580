//! The one integration target: everything here runs the built program or the library against real parts.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; clippy knows only `#[test]` functions as tests"
)]

mod agent;
mod broker;
mod cli;
mod client;
mod configuration;
mod dependencies;
mod e2e;
mod kill;
mod layering;
mod redact;
mod refused_names;
mod registry;
mod sandbox;
mod server;
mod source;
mod systemd;
mod tested;
mod tofu;
