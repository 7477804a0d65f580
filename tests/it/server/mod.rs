//! The server, in this process on a free port, talked to over HTTP.

mod house;

mod every_route;
mod first_start;
mod frame;
mod registry_integrations;
mod store_contract;
mod tokens;
mod variables;
mod workspaces;
