//! The run's configuration, for the agent that unpacks it.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

use super::held::{alive, lease};
use crate::protocol::DIGEST_HEADER;
use crate::protocol::id::RunId;
use crate::server::api::blob::{BlobReader, Owner};
use crate::server::api::headers::Epoch;
use crate::server::api::{ApiError, Path, ServerState, SessionActor};
use crate::server::policy::Protected;
use crate::server::store::configurations;

/// `GET agent/runs/{run}/configuration`.
pub(super) async fn get(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
) -> Result<Response, ApiError> {
    let (permit, workspace, configuration) = {
        let mut connection = state.store.read().await?;
        let record = alive(&mut connection, &actor, run, epoch).await?;
        let now = state.lease_time(&mut connection).await?;
        let permit = lease(&record, epoch, now).open(Protected::Configuration)?;
        (permit, record.workspace, configurations::load(&mut connection, record.configuration).await?)
    };
    let configuration = configuration.ok_or(ApiError::Fault("a run's configuration is missing"))?;
    let reader = BlobReader::open(&state, &permit, Owner::Configuration(workspace), configuration.blob).await?;
    let headers =
        [(CONTENT_TYPE.as_str(), "application/gzip".to_owned()), (DIGEST_HEADER, configuration.configuration.digest)];
    Ok((headers, reader.into_body()).into_response())
}
