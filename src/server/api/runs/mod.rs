//! Runs, for people: one file per kind of request.

mod create;
mod decide;
mod events;
mod list;
mod log;
mod shown;

use super::{Audience, Routes};

pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .post("/workspaces/{workspace}/runs", create::create)
        .get("/runs", list::list)
        .get("/runs/{run}", list::get)
        .post("/runs/{run}/approve", decide::approve)
        .post("/runs/{run}/discard", decide::discard)
        .post("/runs/{run}/cancel", decide::cancel)
        .post("/runs/{run}/resolve", decide::resolve)
        .get("/runs/{run}/logs/{phase}", log::read)
        .get("/runs/{run}/events", events::events)
        .get("/runs/{run}/receipts", events::receipts)
}
