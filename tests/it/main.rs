//! The one integration target: everything here runs the built program or the library against real parts.

mod agent;
mod cli;
mod client;
mod configuration;
mod dependencies;
mod e2e;
mod layering;
mod registry;
mod sandbox;
mod server;
mod source;
mod systemd;
mod tofu;
