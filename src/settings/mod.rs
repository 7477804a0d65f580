//! What an operator writes.

/// The server's settings.
pub mod server;
