//! What an operator writes: `agent.toml`, `server.toml`, and the context of the commands.
//!
//! Rule: default < file < environment < flag, and this is the only module that reads environment variables. A file
//! is read whole: every problem in it is reported at once, with its line and the keys that are allowed. Secrets are
//! never written into settings; a setting names the file that holds one.

// Settings of the agent, complete.
pub mod agent;
// Settings of the agent as they are written.
pub mod agent_layer;
// The context of the commands: which server, as whom.
pub mod cli;
// Lengths of time as people write them: `30s`.
pub mod duration;
// The process' own environment variables.
pub mod environment;
// What is wrong with settings.
mod error;
// TOML files.
mod file;
// Lists of names.
pub mod list;
// What is logged and how.
pub mod log;
// Files that hold one secret.
pub mod secret_file;
// Settings of the server, complete.
pub mod server;
// Settings of the server as they are written.
pub mod server_layer;

pub use agent::AgentSettings;
pub use error::{SettingsError, SettingsProblem};
pub use server::ServerSettings;
