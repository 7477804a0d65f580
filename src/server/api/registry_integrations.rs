//! Registry integrations: made, shown, changed, removed. The secret goes in and never comes out.
//!
//! Rule: whoever changes where the secret goes, as whom, or whose certificates are trusted for it, gives the secret
//! again; the ciphertext is bound to all three, and to the token service that a test has found.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;

use super::authentication::UserActor;
use super::extract::{Json, Path};
use super::integration_change::{check_ca, check_free, seal_secret};
use super::problem::ApiError;
use super::routes::{Audience, Routes};
use super::state::ServerState;
use super::values::{check_name, check_secret, check_username};
use super::{integration_change, revision};
use crate::protocol::api::{List, NewRegistryIntegration, RegistryIntegration, RegistryIntegrationChange};
use crate::protocol::id::IntegrationId;
use crate::protocol::registry_address::{DOCKER_HUB, RegistryAddress};
use crate::redact;
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Protected};
use crate::server::store::AnyConnection;
use crate::server::store::registry_integrations::{self as store, IntegrationRow};
use crate::server::vault::Context;

/// `registry-integrations`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User)
        .get("/registry-integrations", list)
        .post("/registry-integrations", create)
        .get("/registry-integrations/{integration}", get)
        .patch("/registry-integrations/{integration}", change)
        .delete("/registry-integrations/{integration}", remove)
}

/// What an integration's secret is bound to.
pub fn secret_context(row: &IntegrationRow) -> Context {
    Context::new(Protected::RegistrySecret, &row.id, row.secret_version, "secret")
        .sent_to(&row.address, &row.username, row.ca_pem.as_deref())
        .held_to(row.token_service.as_deref())
}

/// As people see it.
pub(super) fn show(row: &IntegrationRow) -> RegistryIntegration {
    let mut notes = Vec::new();
    if row.address.is_docker_hub() {
        notes.push(format!(
            "module sources must say `oci://{DOCKER_HUB}/…`: with `docker.io` OpenTofu finds no credential"
        ));
    }
    RegistryIntegration {
        id: row.id,
        name: row.name.clone(),
        address: row.address.clone(),
        username: row.username.clone(),
        export_credentials: row.export_credentials,
        permit_file: row.permit_file,
        permit_whole_run: row.permit_whole_run,
        disabled: row.disabled,
        ca_pem: row.ca_pem.clone(),
        token_service: row.token_service.clone(),
        secret_version: row.secret_version,
        created_at: row.created_at,
        updated_at: row.updated_at,
        secret_set_at: row.secret_set_at,
        last_test: row.last_test.clone(),
        notes,
    }
}

/// The same for whoever has just given its secret, which nobody can look at later.
fn show_given(row: &IntegrationRow, is_too_short: bool) -> RegistryIntegration {
    let mut shown = show(row);
    if is_too_short {
        shown.notes.push(redact::TOO_SHORT.to_owned());
    }
    shown
}

/// The integration of an id or name.
pub(super) async fn find(connection: &mut AnyConnection, id_or_name: &str) -> Result<IntegrationRow, ApiError> {
    let row = store::find(connection, id_or_name).await?;
    row.ok_or_else(|| ApiError::not_found("registry integration", id_or_name))
}

async fn list(user: UserActor, State(state): State<ServerState>) -> Result<Json<List<RegistryIntegration>>, ApiError> {
    user.allow(Permission::RegistryIntegrationRead)?;
    let rows = store::list(&mut *state.store.read().await?).await?;
    Ok(Json(List { items: rows.iter().map(show).collect(), next: None }))
}

async fn get(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::RegistryIntegrationRead)?;
    let row = find(&mut *state.store.read().await?, &name).await?;
    Ok((revision::etag(row.revision), Json(show(&row))))
}

async fn create(
    user: UserActor,
    State(state): State<ServerState>,
    Json(new): Json<NewRegistryIntegration>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::RegistryIntegrationWrite)?;
    check_name("name", &new.name)?;
    let address: RegistryAddress = new.url.parse().map_err(|error| ApiError::invalid("url", error))?;
    check_username(&new.username)?;
    check_secret(&new.secret)?;
    check_ca(new.ca_pem.as_deref())?;
    let now = state.clock.now();
    let mut row = IntegrationRow {
        id: IntegrationId::generate(),
        name: new.name,
        address,
        username: new.username,
        export_credentials: new.export_credentials,
        permit_file: new.permit_file,
        permit_whole_run: new.permit_whole_run,
        disabled: false,
        ca_pem: new.ca_pem.filter(|pem| !pem.is_empty()),
        token_service: None,
        secret: Vec::new(),
        secret_version: 1,
        secret_set_at: now,
        created_at: now,
        updated_at: now,
        revision: 1,
        last_test: None,
    };
    seal_secret(&state, &user, &mut row, &new.secret)?;
    let mut transaction = state.store.begin_write().await?;
    check_free(&mut transaction, &row).await?;
    store::insert(&mut transaction, &row).await?;
    let particulars = Particulars::IntegrationCreate {
        name: row.name.clone(),
        address: row.address.clone(),
        export_credentials: row.export_credentials,
        permit_file: row.permit_file,
        permit_whole_run: row.permit_whole_run,
    };
    audit::record(&mut transaction, now, &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok((StatusCode::CREATED, revision::etag(row.revision), Json(show_given(&row, redact::is_too_short(&new.secret)))))
}

async fn change(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(change): Json<RegistryIntegrationChange>,
) -> Result<impl IntoResponse, ApiError> {
    user.allow(Permission::RegistryIntegrationWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let mut row = find(&mut transaction, &name).await?;
    revision::check(&headers, row.revision)?;
    let is_too_short = change.secret.as_ref().is_some_and(redact::is_too_short);
    integration_change::apply(&state, &user, &mut row, change)?;
    check_free(&mut transaction, &row).await?;
    store::update(&mut transaction, &row).await?;
    let particulars = Particulars::IntegrationUpdate {
        name: row.name.clone(),
        address: row.address.clone(),
        export_credentials: row.export_credentials,
        permit_file: row.permit_file,
        permit_whole_run: row.permit_whole_run,
        disabled: row.disabled,
        secret_version: row.secret_version,
    };
    audit::record(&mut transaction, row.updated_at, &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok((revision::etag(row.revision), Json(show_given(&row, is_too_short))))
}

async fn remove(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiError> {
    user.allow(Permission::RegistryIntegrationWrite)?;
    let mut transaction = state.store.begin_write().await?;
    let row = find(&mut transaction, &name).await?;
    revision::check(&headers, row.revision)?;
    store::delete(&mut transaction, row.id).await?;
    let particulars = Particulars::IntegrationDelete { name: row.name, address: row.address };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
