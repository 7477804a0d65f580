//! What an operator writes: `agent.toml`, `server.toml`, the commands' context.

/// `agent.toml`.
pub mod agent;
