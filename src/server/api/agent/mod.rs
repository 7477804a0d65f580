//! The agent side: one file per route. What the routes say is in [`crate::protocol::agent`].
//!
//! Rule: every route below `runs/{run}` asks [`held`] first: whether the agent holds the run with this epoch, or, for what
//! may come late (an end, a receipt, a state, word of a state kept aside), whether it had it.

mod artifact;
mod claims;
mod configuration;
mod credentials;
mod finish;
mod finish_check;
mod held;
mod log;
mod receipt;
mod renew;
mod rescue;
mod state;
mod steps;
mod watch;

use super::{Audience, Routes};

/// What agents in a session may ask.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::Session)
        .post("/agent/claims", claims::claim)
        .post("/agent/claims/{claim}/release", claims::release)
        .get("/agent/watch", watch::watch)
        .post("/agent/runs/{run}/renew", renew::renew)
        .get("/agent/runs/{run}/configuration", configuration::get)
        .post("/agent/runs/{run}/steps/{step}", steps::report)
        .post("/agent/runs/{run}/credentials", credentials::release)
        .patch("/agent/runs/{run}/log/{phase}", log::append)
        .put("/agent/runs/{run}/artifact", artifact::put)
        .get("/agent/runs/{run}/artifact", artifact::get)
        .get("/agent/runs/{run}/state", state::get)
        .post("/agent/runs/{run}/state", state::write)
        .post("/agent/runs/{run}/state/lock", state::lock)
        .post("/agent/runs/{run}/state/unlock", state::unlock)
        .post("/agent/runs/{run}/kept-state", rescue::kept)
        .post("/agent/runs/{run}/finish", finish::finish)
        .post("/agent/runs/{run}/receipts/{phase}", receipt::late)
}
