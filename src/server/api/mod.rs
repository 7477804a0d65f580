//! HTTP: one file per resource, each giving its `routes()`.
//!
//! Rule: a handler names its actor first, asks `policy`, and makes at most one commit; what it changes and the audit
//! record of it stand in the same transaction.

mod agent;
mod agent_session;
mod agents;
mod approval;
mod archive;
mod audit;
pub mod authentication;
mod blob;
mod configurations;
mod connection_test;
pub mod extract;
mod headers;
mod health;
mod hold;
mod integration_change;
mod join_tokens;
mod malformed;
mod place;
pub mod problem;
pub mod registry_integrations;
mod request;
mod revision;
pub mod routes;
mod runs;
mod sealed_report;
mod snapshot;
pub mod state;
mod state_version;
mod tokens;
mod values;
mod variable_checks;
pub mod variables;
mod whoami;
mod workspace_state;
pub mod workspaces;

pub use authentication::{JoiningActor, SessionActor, UserActor};
pub use extract::{Json, Path, Query, read_body};
pub use problem::{ApiError, Code};
pub use routes::{Audience, Route, Routes};
pub use state::{Parts, ServerState};

use axum::Router;

use crate::protocol::API;

/// Every route of the server.
pub fn routes() -> Routes {
    let api = Routes::new(Audience::User)
        .merge(registry_integrations::routes())
        .merge(connection_test::routes())
        .merge(workspaces::routes())
        .merge(variables::routes())
        .merge(tokens::routes())
        .merge(join_tokens::routes())
        .merge(agents::routes())
        .merge(agent_session::routes())
        .merge(audit::routes())
        .merge(whoami::routes())
        .merge(agent::routes())
        .merge(configurations::routes())
        .merge(runs::routes())
        .merge(workspace_state::routes());
    health::routes().nest(API, api)
}

/// The server's service.
pub fn router(state: ServerState) -> Router {
    request::framed(routes().into_router()).with_state(state)
}
