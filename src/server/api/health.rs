//! Whether the server lives, and whether it can do its work: for supervisors and load balancers, without a token.

use axum::extract::State;

use super::problem::{ApiError, Code, chain};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use crate::server::ServerError;

/// Outside of the API's prefix.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::Anybody).get("/healthz", healthz).get("/readyz", readyz)
}

/// The process answers. Says nothing of anything else, so that a database that is away does not get it restarted.
async fn healthz() -> &'static str {
    "ok\n"
}

/// The database answers and takes a write, and the root key opens what is in it, and the server is not about to end.
async fn readyz(State(state): State<ServerState>) -> Result<&'static str, ApiError> {
    if state.shutdown.is_cancelled() {
        return Err(ApiError::ending());
    }
    if let Err(error) = crate::server::is_ready(&state).await {
        tracing::error!(error = %chain(&error), "not ready");
        if matches!(&error, ServerError::Store(error) if error.is_full()) {
            let text = "the disk of the database is full; hint: free space there, the server goes on by itself then";
            return Err(ApiError::new(Code::StorageFull, text));
        }
        return Err(ApiError::new(Code::Unavailable, "database or key do not work; hint: see the server's log"));
    }
    Ok("ok\n")
}
