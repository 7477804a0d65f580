//! What people do: one method per route of [`crate::protocol::api`].
//!
//! Rule: things are named by id or name, as the route takes them; nothing here tries twice.

mod access;
mod registry_integrations;
mod runs;
mod state;
mod workspaces;

pub use runs::RunFilter;
