//! The one integration target: everything here runs the built program or the library against real parts.

mod cli;
mod configuration;
mod dependencies;
mod layering;
mod client;
mod dependencies;
mod layering;
mod registry;
mod source;
mod server;
mod sandbox;
mod server;
mod source;
mod systemd;
mod tofu;
mod server;
mod source;
