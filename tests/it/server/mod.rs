//! The server, in this process on a free port, talked to over HTTP.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on fails")]

mod house;

mod every_route;
mod first_start;
mod frame;
mod full_disk;
mod listener;
mod operations;
mod registry_integrations;
mod runs;
mod store_contract;
mod token_services;
mod tokens;
mod variables;
mod workspaces;
