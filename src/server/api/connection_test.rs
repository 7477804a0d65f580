//! `POST registry-integrations/{integration}/test`: the server tries the credential against its registry.
//!
//! Rule: the audit record is committed before the secret is opened, so this route commits twice: the second time keeps
//! the verdict, unless the integration was changed meanwhile. The first test that succeeds by a token service holds the
//! integration to it: its secret is sealed anew for that one alone. What cannot be asked for is refused before, and is
//! no verdict.

use axum::extract::State;

use super::authentication::UserActor;
use super::extract::{Json, Path};
use super::integration_change::seal_secret;
use super::problem::ApiError;
use super::registry_integrations::{find, secret_context};
use super::routes::{Audience, Routes};
use super::state::ServerState;
use crate::protocol::api::{ConnectionTest, ConnectionTestRequest};
use crate::protocol::limits::URL_BYTES;
use crate::registry::{TestTarget, check_repository, test_connection};
use crate::secret::Secret;
use crate::server::audit::{self, Particulars};
use crate::server::policy::{Permission, Protected};
use crate::server::store::registry_integrations::{self as store, IntegrationRow};
use crate::server::vault::Sealed;

/// `registry-integrations/{integration}/test`.
pub(super) fn routes() -> Routes {
    Routes::new(Audience::User).post("/registry-integrations/{integration}/test", test)
}

async fn test(
    user: UserActor,
    State(state): State<ServerState>,
    Path(name): Path<String>,
    Json(request): Json<ConnectionTestRequest>,
) -> Result<Json<ConnectionTest>, ApiError> {
    user.allow(Permission::RegistryIntegrationTest)?;
    check_length(request.repository.as_deref())?;
    let mut transaction = state.store.begin_write().await?;
    let row = find(&mut transaction, &name).await?;
    if let Some(repository) = &request.repository {
        check_repository(&row.address, repository).map_err(|error| ApiError::invalid("repository", error))?;
    }
    let particulars = Particulars::IntegrationTest { address: row.address.clone(), secret_version: row.secret_version };
    audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
    transaction.commit().await?;

    let permit = user.role.open(Protected::RegistrySecret)?;
    let secret = state.vault.open(&permit, &secret_context(&row), &Sealed::from_bytes(row.secret.clone()))?;
    let target = TestTarget {
        address: &row.address,
        username: &row.username,
        secret: &secret,
        ca_pem: row.ca_pem.as_deref(),
        token_service: row.token_service.as_deref(),
        repository: request.repository.as_deref(),
    };
    let found = tokio::select! {
        found = test_connection(target) => found,
        () = state.shutdown.cancelled() => return Err(ApiError::ending()),
    };
    let tested = tested(&state, &user, &row, &found, &secret)?;
    drop(secret);

    let mut transaction = state.store.begin_write().await?;
    let now = store::find(&mut transaction, &row.id.to_string()).await?;
    // Another test, which is no revision, may have held it to a token service meanwhile.
    if now.is_some_and(|now| now.revision == row.revision && now.token_service == row.token_service) {
        store::update(&mut transaction, &tested).await?;
        let held_to = tested.token_service.filter(|_| row.token_service.is_none());
        if let Some(token_service) = held_to {
            let particulars = Particulars::IntegrationHold { token_service, secret_version: row.secret_version };
            audit::record(&mut transaction, state.clock.now(), &user.actor(), &row.id, &particulars).await?;
        }
        transaction.commit().await?;
    }
    Ok(Json(found))
}

/// The integration as it is after the test.
fn tested(
    state: &ServerState,
    user: &UserActor,
    row: &IntegrationRow,
    found: &ConnectionTest,
    secret: &Secret,
) -> Result<IntegrationRow, ApiError> {
    let mut tested = IntegrationRow { last_test: Some(found.clone()), ..row.clone() };
    if row.token_service.is_none() && found.token_service.is_some() {
        tested.token_service.clone_from(&found.token_service);
        seal_secret(state, user, &mut tested, secret)?;
    }
    Ok(tested)
}

fn check_length(repository: Option<&str>) -> Result<(), ApiError> {
    let fits = |text: &str| !text.is_empty() && text.len() <= URL_BYTES && !text.chars().any(char::is_control);
    if repository.is_none_or(fits) {
        return Ok(());
    }
    Err(ApiError::invalid("repository", "it is empty or not fit; hint: for example `team/net` or `team/net:1.0.0`"))
}
