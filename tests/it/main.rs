//! The one integration target: everything here runs the built program or the library against real parts.

mod dependencies;
mod layering;
mod sandbox;
mod server;
mod source;
