//! The plan's artifact: plan file, lock file, modules. What is approved is its digest.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::held::{alive, lease, lease_without_time};
use crate::protocol::DIGEST_HEADER;
use crate::protocol::id::RunId;
use crate::protocol::limits::ARTIFACT_BYTES;
use crate::protocol::run::{Phase, RunState, Step};
use crate::server::api::approval;
use crate::server::api::blob::{BlobReader, BlobWriter, Owner, Pieces};
use crate::server::api::headers::{self, Epoch};
use crate::server::api::{ApiError, Code, Path, ServerState, SessionActor};
use crate::server::policy::Protected;
use crate::server::store::runs::{RunRecord, settle};

/// `PUT agent/runs/{run}/artifact`: after the step `plan`, with the digest header.
pub(super) async fn put(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
    request: Request<Body>,
) -> Result<StatusCode, ApiError> {
    let digest = headers::digest(request.headers())?.ok_or_else(|| {
        ApiError::new(Code::Malformed, format!("the header `{DIGEST_HEADER}` is missing; hint: the body's SHA-256"))
    })?;
    let record = alive(&mut *state.store.read().await?, &actor, run, epoch).await?;
    check_step(&record)?;
    if record.standing.artifact.is_some() && record.artifact_digest.as_ref() == Some(&digest) {
        return Ok(StatusCode::NO_CONTENT);
    }
    let permit = lease_without_time(&record, epoch).seal(Protected::Artifact)?;
    let mut writer = BlobWriter::new(&state, &permit, Owner::Artifact(run))?;
    let mut pieces = Pieces::of(request.into_body(), ARTIFACT_BYTES);
    while let Some(piece) = pieces.next().await? {
        writer.write(&piece).await?;
    }
    let sealing = writer.end()?;
    if sealing.written.digest != digest {
        return Err(ApiError::invalid(DIGEST_HEADER, "the body has another digest; hint: send it again"));
    }
    let mut transaction = state.store.begin_write().await?;
    // Uploading takes time: the claim must still be there.
    let mut record = alive(&mut transaction, &actor, run, epoch).await?;
    check_step(&record)?;
    let written = sealing.store(&mut transaction).await?;
    let before = record.standing;
    record.artifact_digest = Some(written.digest);
    record.standing.artifact = Some(written.id);
    let topics = settle::settle(&mut transaction, &before, &mut record, state.clock.now()).await?;
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_step(record: &RunRecord) -> Result<(), ApiError> {
    let planned = matches!(record.standing.last_step, Some((Phase::Plan, Step::Plan | Step::Show)));
    if record.standing.state == RunState::Planning && planned {
        return Ok(());
    }
    Err(ApiError::new(Code::Conflict, "an artifact is taken in the phase `plan` alone, after its step `plan`"))
}

/// `GET agent/runs/{run}/artifact`: in the phase `apply`.
pub(super) async fn get(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
) -> Result<Response, ApiError> {
    let mut connection = state.store.read().await?;
    let record = alive(&mut connection, &actor, run, epoch).await?;
    if record.standing.state != RunState::Applying {
        return Err(ApiError::new(Code::Conflict, "the run is not in its phase `apply`"));
    }
    let lease = lease(&record, epoch, state.lease_time(&mut connection).await?);
    if !approval::is_given(&state, &lease.open(Protected::Approval)?, &mut connection, &record).await? {
        return Err(ApiError::Fault("an approval was changed in the database"));
    }
    drop(connection);
    let permit = lease.open(Protected::Artifact)?;
    let Some((blob, digest)) = record.standing.artifact.zip(record.artifact_digest) else {
        return Err(ApiError::not_found("artifact of the run", run));
    };
    let reader = BlobReader::open(&state, &permit, Owner::Artifact(run), blob).await?;
    let headers = [(CONTENT_TYPE.as_str(), "application/octet-stream".to_owned()), (DIGEST_HEADER, digest)];
    Ok((headers, reader.into_body()).into_response())
}
