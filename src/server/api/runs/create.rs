//! Making a run. Its POST wakes an agent that waits: nothing polls between the two.

use axum::extract::State;
use axum::http::StatusCode;

use super::shown;
use crate::protocol::api::{NewRun, Run};
use crate::protocol::id::RunId;
use crate::protocol::run::RunKind;
use crate::server::api::variables::SnapshotOf;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, UserActor, snapshot};
use crate::server::audit::{self, Particulars};
use crate::server::operations::{self, Besides};
use crate::server::policy::Permission;
use crate::server::store::runs::new::{self, NewRunRecord};
use crate::server::store::{configurations, workspaces};

/// Characters of a run's message.
const MESSAGE_CHARACTERS: usize = 1024;

/// `POST workspaces/{w}/runs`.
pub(super) async fn create(
    State(state): State<ServerState>,
    actor: UserActor,
    Path(workspace): Path<String>,
    Json(request): Json<NewRun>,
) -> Result<(StatusCode, Json<Run>), ApiError> {
    actor.allow(Permission::RunCreate)?;
    if request.message.chars().count() > MESSAGE_CHARACTERS || request.message.contains('\0') {
        return Err(ApiError::invalid("message", "more than 1024 characters, or one of them is NUL"));
    }
    let id = RunId::generate();
    let now = state.clock.now();
    let mut transaction = state.store.begin_write().await?;
    let row = workspaces::find(&mut transaction, &workspace).await?;
    let row = row.ok_or_else(|| ApiError::not_found("workspace", &workspace))?;
    let workspace = row.id;
    let auto_apply = request.kind != RunKind::Plan && request.auto_apply.unwrap_or(row.auto_apply);
    let configuration = configurations::load(&mut transaction, request.configuration).await?;
    let configuration = configuration.map(|record| record.configuration).filter(|known| known.workspace == workspace);
    let Some(configuration) = configuration else {
        let text = "the workspace has no such configuration; hint: upload it to this workspace first";
        return Err(ApiError::new(Code::NotFound, text));
    };
    let of = SnapshotOf { run: id, kind: request.kind, auto_apply, configuration: &configuration };
    let variables = snapshot::seal(&state, &actor, &mut transaction, (workspace, &of)).await?;
    let record = NewRunRecord {
        id,
        workspace,
        configuration: configuration.id,
        kind: request.kind,
        auto_apply,
        message: request.message,
        variables,
        created_by: actor.name.clone(),
        created_at: now,
    };
    let made = new::insert(&mut transaction, &record).await?;
    let (record, topics) = made.ok_or(ApiError::Fault("a configuration is gone within a transaction"))?;
    let standing = record.standing;
    let particulars = Particulars::RunCreate { workspace, kind: standing.kind, auto_apply: standing.auto_apply };
    audit::record(&mut transaction, now, &actor.actor(), &id, &particulars).await?;
    let by = Some(actor.name.clone());
    operations::note(&mut transaction, &record, "run made", Besides { by, ..Besides::default() });
    state.wake.commit(&state.store, transaction, &topics).await?;
    Ok((StatusCode::CREATED, Json(shown::plain(&state, &actor, record)?)))
}
