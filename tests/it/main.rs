//! The one integration target: everything here runs the built program or the library against real parts.

mod client;
mod dependencies;
mod layering;
mod registry;
mod source;
mod server;
mod sandbox;
