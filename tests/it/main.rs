//! The one integration target: everything here runs the built program or the library against real parts.

mod client;
mod configuration;
mod dependencies;
mod layering;
mod registry;
mod sandbox;
mod server;
mod source;
mod tofu;
