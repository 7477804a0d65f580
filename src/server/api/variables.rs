//! Variables of workspaces, and a run's snapshot of them.
//!
//! Rule: values are sealed, and bound to workspace, kind and name. A sensitive value is not shown again to anybody; it
//! leaves only in a snapshot, to the agent that has the run.

use axum::extract::State;
use axum::http::StatusCode;
use zeroize::Zeroizing;

use super::authentication::UserActor;
use super::extract::{Json, Path};
use super::problem::{ApiError, Code};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::values::check_description;
use super::{variable_checks, workspaces};
use crate::protocol::agent::RunVariable;
use crate::protocol::api::Configuration;
use crate::protocol::api::{List, Variable, VariableKind, VariableValue};
use crate::protocol::id::{RunId, VariableId, WorkspaceId};
use crate::protocol::run::RunKind;
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Permit, Protected};
use crate::server::store::AnyConnection;
use crate::server::store::variables::{self as store, VariableRow};
use crate::server::vault::{Context, Sealed, VaultError};

/// `workspaces/{workspace}/variables`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/workspaces/{workspace}/variables", list)
        .put("/workspaces/{workspace}/variables/{kind}/{name}", set)
        .delete("/workspaces/{workspace}/variables/{kind}/{name}", remove)
}

async fn list(
    user: UserActor,
    State(state): State<ServerState>,
    Path(workspace): Path<String>,
) -> Result<Json<List<Variable>>, ApiError> {
    user.allow(Permission::VariableRead)?;
    let mut connection = state.store.read().await?;
    let workspace = workspaces::find(&mut connection, &workspace).await?;
    let rows = store::list(&mut connection, workspace.id).await?;
    let items = rows.into_iter().map(|row| show(&state, &user, row)).collect::<Result<_, _>>()?;
    Ok(Json(List { items, next: None }))
}

fn show(state: &ServerState, user: &UserActor, row: VariableRow) -> Result<Variable, ApiError> {
    let value = if row.sensitive {
        None
    } else {
        let permit = user.role.open(Protected::Variable)?;
        // Not a secret: whoever set it said so.
        let value = state.vault.open_bytes(&permit, &context(&row), &Sealed::from_bytes(row.value.clone()))?;
        Some(String::from_utf8(value.to_vec()).map_err(|_| VaultError::NotText)?)
    };
    Ok(Variable {
        id: row.id,
        kind: row.kind,
        name: row.name,
        value,
        sensitive: row.sensitive,
        description: row.description,
        updated_at: row.updated_at,
    })
}

async fn set(
    user: UserActor,
    State(state): State<ServerState>,
    Path((workspace, kind, name)): Path<(String, VariableKind, String)>,
    Json(new): Json<VariableValue>,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::VariableWrite)?;
    variable_checks::check_name(kind, &name)?;
    variable_checks::check_value(kind, &name, &new.value)?;
    check_description("description", &new.description)?;
    let now = state.clock.now();
    let mut transaction = state.store.begin_write().await?;
    let workspace = workspaces::find(&mut transaction, &workspace).await?;
    let before = store::get(&mut transaction, workspace.id, kind, &name).await?;
    refuse_rival(&mut transaction, workspace.id, (kind, &name)).await?;
    let mut row = VariableRow {
        id: before.as_ref().map_or_else(VariableId::generate, |before| before.id),
        workspace: workspace.id,
        kind,
        name,
        value: Vec::new(),
        version: before.as_ref().map_or(1, |before| before.version + 1),
        sensitive: new.sensitive.unwrap_or_else(|| kind.is_sensitive_by_default()),
        description: new.description,
        updated_at: now,
    };
    let permit = user.role.seal(Protected::Variable)?;
    row.value = state.vault.seal(&permit, &context(&row), &new.value)?.into_bytes();
    let others = store::total_bytes(&mut transaction, workspace.id).await?;
    let replaced = before.map_or(0, |before| before.value.len());
    variable_checks::check_total(others, replaced, row.value.len())?;
    store::put(&mut transaction, &row).await?;
    let particulars = Particulars::VariableSet {
        workspace: workspace.id,
        kind: kind.word(),
        name: row.name.clone(),
        sensitive: row.sensitive,
    };
    audit::record(&mut transaction, now, &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A file's path and a plain value cannot both be in one environment variable.
async fn refuse_rival(
    connection: &mut AnyConnection,
    workspace: WorkspaceId,
    (kind, name): (VariableKind, &str),
) -> Result<(), ApiError> {
    let Some(rival) = variable_checks::rival(kind) else { return Ok(()) };
    if store::get(connection, workspace, rival, name).await?.is_none() {
        return Ok(());
    }
    let word = rival.word();
    let text = format!("`{name}` is there already, of the kind `{word}`; hint: unset that first, with `--kind {word}`");
    Err(ApiError::new(Code::Conflict, text))
}

async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path((workspace, kind, name)): Path<(String, VariableKind, String)>,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::VariableWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let workspace = workspaces::find(&mut transaction, &workspace).await?;
    let row = store::get(&mut transaction, workspace.id, kind, &name).await?;
    let row = row.ok_or_else(|| ApiError::not_found("variable", &name))?;
    store::delete(&mut transaction, row.id).await?;
    let particulars = Particulars::VariableDelete { workspace: workspace.id, kind: kind.word(), name };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn context(row: &VariableRow) -> Context {
    let field = format!("{}/{}/{}", row.workspace, row.kind.word(), row.name);
    Context::new(Protected::Variable, &row.id, row.version, &field)
}

/// The run that a snapshot is sealed for. Whoever can write the database can change none of it: the snapshot does not open
/// then, and the run is put aside.
#[derive(Debug, Clone, Copy)]
pub struct SnapshotOf<'a> {
    /// The run.
    pub run: RunId,
    /// What for.
    pub kind: RunKind,
    /// Whether it is applied without approval.
    pub auto_apply: bool,
    /// Of which configuration: its bytes, and the directory in it, are bound in too.
    pub configuration: &'a Configuration,
}

impl SnapshotOf<'_> {
    fn context(&self) -> Context {
        Context::new(Protected::RunVariables, &self.run, 1, "variables")
            .within(&self.kind.word())
            .within(&self.auto_apply)
            .within(&self.configuration.id)
            .within(&self.configuration.digest)
            .within(&self.configuration.working_directory)
    }
}

/// A workspace's variables as they are in this transaction, sealed for a run that is being made.
///
/// # Errors
/// `forbidden`, or when a value does not open.
pub async fn snapshot(
    state: &ServerState,
    connection: &mut AnyConnection,
    user: &UserActor,
    (workspace, of): (WorkspaceId, &SnapshotOf<'_>),
) -> Result<Sealed, ApiError> {
    let mut variables = Vec::new();
    for row in store::list(connection, workspace).await? {
        let permit = user.role.open(Protected::Variable)?;
        let value = state.vault.open(&permit, &context(&row), &Sealed::from_bytes(row.value))?;
        variables.push(RunVariable { kind: row.kind, name: row.name, value, sensitive: row.sensitive });
    }
    // Wiped when dropped; what the serialiser outgrows on the way is the allocator's.
    let json = Zeroizing::new(serde_json::to_vec(&variables).map_err(|_| ApiError::Fault("variables are not JSON"))?);
    let permit = user.role.seal(Protected::RunVariables)?;
    Ok(state.vault.seal_bytes(&permit, &of.context(), &json)?)
}

/// A run's variables, for the agent that has it.
///
/// # Errors
/// When the permit is for something else, or the snapshot is another run's, or of one that was made otherwise.
pub fn open_snapshot(
    state: &ServerState,
    permit: &Permit,
    of: &SnapshotOf<'_>,
    sealed: &Sealed,
) -> Result<Vec<RunVariable>, ApiError> {
    let json = state.vault.open_bytes(permit, &of.context(), sealed)?;
    serde_json::from_slice(&json).map_err(|_| ApiError::Fault("a snapshot of variables is not JSON"))
}
