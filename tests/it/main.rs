//! The one integration target: everything here runs the built program or the library against real parts.

mod cli;
mod dependencies;
mod layering;
mod sandbox;
mod server;
mod source;
mod systemd;
