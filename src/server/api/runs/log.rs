//! A log, by offset, with long poll.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::clock::BootInstant;
use crate::protocol::id::{BlobId, RunId};
use crate::protocol::run::{Phase, RunState};
use crate::protocol::{COMPLETE_HEADER, EPOCH_HEADER, OFFSET_HEADER};
use crate::server::api::blob::{BlobReader, Owner};
use crate::server::api::hold::hold_for;
use crate::server::api::{ApiError, Path, Query, ServerState, UserActor};
use crate::server::policy::Protected;
use crate::server::queue::{Standing, Topic};
use crate::server::store::runs::{self, logs};

/// Bytes of one answer.
const ANSWER_BYTES: usize = 1024 * 1024;

/// The query of a log.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LogQuery {
    #[serde(default)]
    offset: u64,
    #[serde(default)]
    wait: u64,
}

/// What one look gives.
struct Look {
    bytes: Vec<u8>,
    next: u64,
    epoch: i64,
    complete: bool,
}

/// `GET runs/{id}/logs/{phase}?offset=&wait=`: the newest claim's log. The epoch header tells a reader that a new claim
/// has begun a new log, which it reads from 0.
pub(super) async fn read(
    State(state): State<ServerState>,
    actor: UserActor,
    Path((run, phase)): Path<(RunId, Phase)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, ApiError> {
    let end = BootInstant::now().after(hold_for(&state, query.wait));
    let mut waiter = state.wake.waiter(Topic::Run(run));
    loop {
        let look = look(&state, &actor, (run, phase), query.offset).await?;
        let left = end.remaining();
        if !look.bytes.is_empty() || look.complete || left.is_zero() || state.shutdown.is_cancelled() {
            return Ok(answer(look));
        }
        tokio::select! {
            () = state.shutdown.cancelled() => {}
            () = waiter.wait(left) => {}
        }
    }
}

async fn look(
    state: &ServerState,
    actor: &UserActor,
    (run, phase): (RunId, Phase),
    offset: u64,
) -> Result<Look, ApiError> {
    let permit = actor.role.open(Protected::Log)?;
    let (over, log) = {
        let mut connection = state.store.read().await?;
        // The state first: what is written after it is read with the log or announced.
        let record = runs::load(&mut connection, run).await?.ok_or_else(|| ApiError::not_found("run", run))?;
        (is_over(&record.standing, phase), logs::newest(&mut connection, run, phase).await?)
    };
    let Some((blob, epoch)) = log else {
        return Ok(Look { bytes: Vec::new(), next: 0, epoch: 0, complete: over });
    };
    let (bytes, length) = open(state, &permit, (Owner::Log(run, phase, epoch), blob), offset).await?;
    let next = offset.min(length) + bytes.len() as u64;
    Ok(Look { complete: over && next == length, bytes, next, epoch })
}

async fn open(
    state: &ServerState,
    permit: &crate::server::policy::Permit,
    (owner, blob): (Owner, BlobId),
    offset: u64,
) -> Result<(Vec<u8>, u64), ApiError> {
    let reader = BlobReader::open(state, permit, owner, blob).await?;
    let length = reader.bytes();
    if offset >= length {
        return Ok((Vec::new(), length));
    }
    let most = ANSWER_BYTES.min(usize::try_from(length - offset).unwrap_or(usize::MAX));
    Ok((reader.range(offset, most).await?.to_vec(), length))
}

/// Whether nothing will be added to the phase's log.
fn is_over(standing: &Standing, phase: Phase) -> bool {
    let before_the_end = matches!(standing.state, RunState::Pending | RunState::Queued | RunState::Planning);
    match phase {
        Phase::Plan => !before_the_end,
        Phase::Apply => standing.state.is_final(),
    }
}

fn answer(look: Look) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()),
        (OFFSET_HEADER, look.next.to_string()),
        (EPOCH_HEADER, look.epoch.to_string()),
        (COMPLETE_HEADER, look.complete.to_string()),
    ];
    (headers, Body::from(look.bytes)).into_response()
}
