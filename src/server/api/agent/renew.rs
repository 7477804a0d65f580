//! Keeping a lease.
//!
//! A renewal is committed: another replica judges the same lease. With L = 60 s that is one small commit each 20 s.

use axum::extract::State;

use super::held::held;
use crate::protocol::agent::RenewAnswer;
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;
use crate::server::api::headers::Epoch;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor};
use crate::server::audit::{self, Particulars};
use crate::server::operations::{self, Besides};
use crate::server::queue::{Event, Wish};
use crate::server::store::runs::{claims, settle};

/// `POST agent/runs/{run}/renew`. A lost run whose own agent is heard of again is `applying` again: it was applied there
/// all the time, and nobody else was given it.
pub(super) async fn renew(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
) -> Result<Json<RenewAnswer>, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let mut record = held(&mut transaction, &actor, run, epoch).await?;
    let now = state.lease_time(&mut transaction).await?;
    let mut topics = Vec::new();
    if record.standing.state == RunState::Lost {
        let back = settle::happen(&mut transaction, &mut record, Event::Renew, now).await?;
        topics = back.map_err(|refusal| ApiError::new(Code::Conflict, refusal))?;
        let particulars = Particulars::RunReturn { epoch };
        audit::record(&mut transaction, now, &actor.actor(), &run, &particulars).await?;
        operations::note(&mut transaction, &record, "the agent of a lost run is back", Besides::default());
    }
    let terms = state.lease_terms();
    claims::renew(&mut transaction, &mut record, now, terms).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(Json(RenewAnswer {
        lease_seconds: terms.lease_seconds(),
        cancel: record.standing.wish >= Wish::Cancel,
        kill: record.standing.wish == Wish::Kill,
    }))
}
