//! What may change of a registry integration, and what a change demands.

use super::authentication::UserActor;
use super::problem::{ApiError, Code};
use super::registry_integrations::secret_context;
use super::state::ServerState;
use super::values::{check_name, check_secret, check_username};
use crate::protocol::api::RegistryIntegrationChange;
use crate::protocol::limits::CA_BYTES;
use crate::protocol::registry_address::RegistryAddress;
use crate::secret::Secret;
use crate::server::policy::Protected;
use crate::server::store::WriteTransaction;
use crate::server::store::registry_integrations::{self as store, IntegrationRow};
use crate::tls;

/// Applies a change to a row in memory; a new secret is sealed for the row as it becomes.
pub(super) fn apply(
    state: &ServerState,
    user: &UserActor,
    row: &mut IntegrationRow,
    change: RegistryIntegrationChange,
) -> Result<(), ApiError> {
    let before = (row.address.clone(), row.username.clone(), row.ca_pem.clone());
    if let Some(name) = change.name {
        check_name("name", &name)?;
        row.name = name;
    }
    if let Some(url) = change.url {
        row.address = url.parse::<RegistryAddress>().map_err(|error| ApiError::invalid("url", error))?;
    }
    if let Some(username) = change.username {
        check_username(&username)?;
        row.username = username;
    }
    if let Some(ca_pem) = change.ca_pem {
        check_ca(Some(&ca_pem))?;
        row.ca_pem = Some(ca_pem).filter(|pem| !pem.is_empty());
    }
    row.export_credentials = change.export_credentials.unwrap_or(row.export_credentials);
    row.permit_file = change.permit_file.unwrap_or(row.permit_file);
    row.permit_whole_run = change.permit_whole_run.unwrap_or(row.permit_whole_run);
    row.disabled = change.disabled.unwrap_or(row.disabled);
    row.updated_at = state.clock.now();
    row.revision += 1;
    if let Some(secret) = change.secret {
        check_secret(&secret)?;
        row.secret_version += 1;
        row.secret_set_at = row.updated_at;
        row.last_test = None;
        // Whoever gives the secret accepts the token service that the next test finds.
        row.token_service = None;
        seal_secret(state, user, row, &secret)?;
    } else if before != (row.address.clone(), row.username.clone(), row.ca_pem.clone()) {
        let text = "it has to be given again when `url`, `username` or `ca_pem` change, because they say where it is \
                    sent; hint: give the secret again, with `--secret-file` or `--secret-stdin` (`secret` in the API)";
        return Err(ApiError::invalid("secret", text));
    }
    Ok(())
}

/// Seals a secret for the row as it is.
pub(super) fn seal_secret(
    state: &ServerState,
    user: &UserActor,
    row: &mut IntegrationRow,
    secret: &Secret,
) -> Result<(), ApiError> {
    let permit = user.role.seal(Protected::RegistrySecret)?;
    row.secret = state.vault.seal(&permit, &secret_context(row), secret)?.into_bytes();
    Ok(())
}

/// A private authority: certificates alone, in PEM; an empty text stands for none.
pub(super) fn check_ca(ca_pem: Option<&str>) -> Result<(), ApiError> {
    let Some(ca_pem) = ca_pem.filter(|pem| !pem.is_empty()) else { return Ok(()) };
    if ca_pem.len() > CA_BYTES {
        return Err(ApiError::invalid("ca_pem", format!("it is too long; hint: at most {CA_BYTES} bytes")));
    }
    if ca_pem.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(ApiError::invalid("ca_pem", "it contains a control character; hint: PEM is plain text"));
    }
    tls::check_ca_pem(ca_pem).map(drop).map_err(|error| ApiError::invalid("ca_pem", error))
}

/// Refuses a name or an address that another integration has.
pub(super) async fn check_free(transaction: &mut WriteTransaction, row: &IntegrationRow) -> Result<(), ApiError> {
    if let Some(other) = store::at(transaction, &row.address).await?.filter(|other| other.id != row.id) {
        let text = format!(
            "the registry integration `{}` is for `{}` already; hint: change that one, or give a narrower path",
            other.name, other.address
        );
        return Err(ApiError::new(Code::Conflict, text));
    }
    if store::find(transaction, &row.name).await?.is_some_and(|other| other.id != row.id) {
        let text = format!("there is a registry integration `{}` already; hint: choose another name", row.name);
        return Err(ApiError::new(Code::Conflict, text));
    }
    Ok(())
}
