//! What happened to a run, with long poll, and its receipts.

use axum::extract::State;
use serde::Deserialize;

use crate::clock::BootInstant;
use crate::protocol::api::{List, RunEvent, RunReceipt};
use crate::protocol::id::RunId;
use crate::server::api::hold::hold_for;
use crate::server::api::sealed_report::{Column, Place};
use crate::server::api::{ApiError, Json, Path, Query, ServerState, UserActor};
use crate::server::policy::{Permission, Protected};
use crate::server::queue::Topic;
use crate::server::store::runs::{self, events, finishes};

/// The query of events.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsQuery {
    #[serde(default)]
    after: i64,
    #[serde(default)]
    wait: u64,
}

/// `GET runs/{id}/events?after=&wait=`: oldest first. `next` is what to give as `after`. A final run is not waited for.
pub(super) async fn events(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
    Query(query): Query<EventsQuery>,
) -> Result<Json<List<RunEvent>>, ApiError> {
    actor.allow(Permission::RunRead)?;
    let end = BootInstant::now().after(hold_for(&state, query.wait));
    let mut waiter = state.wake.waiter(Topic::Run(run));
    loop {
        let (items, is_final) = {
            let mut connection = state.store.read().await?;
            let record = runs::load(&mut connection, run).await?.ok_or_else(|| ApiError::not_found("run", run))?;
            (events::after(&mut connection, run, query.after).await?, record.standing.state.is_final())
        };
        let left = end.remaining();
        if !items.is_empty() || is_final || left.is_zero() || state.shutdown.is_cancelled() {
            let next = items.last().map(|event| event.sequence.to_string());
            return Ok(Json(List { items, next }));
        }
        tokio::select! {
            () = state.shutdown.cancelled() => {}
            () = waiter.wait(left) => {}
        }
    }
}

/// `GET runs/{id}/receipts`.
pub(super) async fn receipts(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(run): Path<RunId>,
) -> Result<Json<List<RunReceipt>>, ApiError> {
    actor.allow(Permission::RunRead)?;
    let mut connection = state.store.read().await?;
    runs::load(&mut connection, run).await?.ok_or_else(|| ApiError::not_found("run", run))?;
    let mut items = Vec::new();
    for record in finishes::receipts(&mut connection, run).await? {
        let (epoch, phase) = (record.epoch, record.phase);
        let permit = actor.role.open(Protected::Report)?;
        let receipt = Place { run, epoch, phase }.open(&state, &permit, Column::Receipt, record.sealed)?;
        items.push(RunReceipt { phase, epoch, agent: record.agent, receipt });
    }
    Ok(Json(List { items, next: None }))
}
