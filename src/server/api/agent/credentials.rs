//! The registry credentials of a run's fetch step, and of its apply where they are for the whole run.
//!
//! Rule: once per epoch, for the step `fetch`. An apply of its own claim has no such step: between its `init` and its start
//! it gets those that may stay for the whole run, if the workspace wants that, and no other. Which secrets are released is committed to the audit log before one
//! of them is opened; a repeat of the same request has a record of its own. One that then does not open is withheld and
//! holds up no other.

use axum::extract::State;

use super::held::{alive, lease};
use crate::protocol::agent::{CredentialsAnswer, CredentialsRequest, RegistryCredential, Withheld, WithheldReason};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::RunId;
use crate::protocol::run::Phase;
use crate::secret::Secret;
use crate::server::api::headers::Epoch;
use crate::server::api::registry_integrations::secret_context;
use crate::server::api::{ApiError, Code, Json, Path, ServerState, SessionActor};
use crate::server::audit::particulars::ReleasedSecret;
use crate::server::audit::{self, Particulars};
use crate::server::policy::{AgentLease, Protected};
use crate::server::store::registry_integrations::{self, IntegrationRow};
use crate::server::store::runs::{RunRecord, settle};
use crate::server::store::workspaces;
use crate::server::vault::{Sealed, VaultError};

/// `POST agent/runs/{run}/credentials`.
pub(super) async fn release(
    State(state): State<ServerState>,
    actor: SessionActor,
    Path(run): Path<RunId>,
    Epoch(epoch): Epoch,
    Json(request): Json<CredentialsRequest>,
) -> Result<Json<CredentialsAnswer>, ApiError> {
    let mut transaction = state.store.begin_write().await?;
    let mut record = alive(&mut transaction, &actor, run, epoch).await?;
    let now = state.lease_time(&mut transaction).await?;
    let workspace = workspaces::find(&mut transaction, &record.workspace.to_string()).await?;
    let wants_whole_run = workspace.is_some_and(|workspace| workspace.whole_run) && request.delivery.may_be_broker();
    let is_apply = record.standing.is_about_to_apply();
    let lease = AgentLease { whole_run: is_apply && wants_whole_run, ..lease(&record, epoch, now) };
    check(&record, &lease, &request)?;
    let reason = |row: &IntegrationRow| reason(row, request.delivery);
    let is_for_phase = |row: &IntegrationRow| !is_apply || row.permit_whole_run;
    let all = registry_integrations::list(&mut transaction).await?.into_iter().filter(is_for_phase);
    let (exported, withheld): (Vec<_>, Vec<_>) = all.partition(|row| reason(row).is_none());
    let particulars = Particulars::CredentialsRelease {
        run,
        phase: record.standing.phase().unwrap_or(Phase::Plan),
        epoch,
        request: request.request,
        delivery: request.delivery,
        released: exported.iter().map(|row| released(row, wants_whole_run)).collect(),
    };
    audit::record(&mut transaction, now, &actor.actor(), &run, &particulars).await?;
    let before = record.standing;
    record.credentials_request = Some((request.request, epoch));
    settle::settle(&mut transaction, &before, &mut record, now).await?;
    transaction.commit().await?;
    let withheld = withheld.iter().filter_map(|row| Some(withhold(row, reason(row)?))).collect();
    let mut answer = CredentialsAnswer { credentials: Vec::with_capacity(exported.len()), withheld };
    for row in exported {
        match open(&state, &lease, &row)? {
            Some(secret) => answer.credentials.push(credential(row, secret, wants_whole_run)),
            None => answer.withheld.push(withhold(&row, WithheldReason::Unreadable)),
        }
    }
    Ok(Json(answer))
}

fn check(record: &RunRecord, lease: &AgentLease, request: &CredentialsRequest) -> Result<(), ApiError> {
    // `policy` judges epoch, time and step; the state machine adds the phase and a person's wish.
    lease.open(Protected::RegistrySecret)?;
    if !record.standing.may_have_credentials() {
        let text = "the run is to end or is not at a step for which there are credentials; hint: renew to hear whether it was \
                    canceled";
        return Err(ApiError::new(Code::Conflict, text));
    }
    match record.credentials_request {
        Some((first, epoch)) if epoch == lease.current_epoch && first != request.request => {
            let text = "the credentials of this claim were released to another request; hint: repeat that one, or \
                        give the claim up";
            Err(ApiError::new(Code::Conflict, text))
        }
        _ => Ok(()),
    }
}

fn reason(row: &IntegrationRow, delivery: DeliveryChoice) -> Option<WithheldReason> {
    if row.disabled {
        Some(WithheldReason::Disabled)
    } else if !row.export_credentials {
        Some(WithheldReason::ExportOff)
    } else if delivery == DeliveryChoice::File && !row.permit_file {
        Some(WithheldReason::FileNotPermitted)
    } else {
        None
    }
}

fn withhold(row: &IntegrationRow, reason: WithheldReason) -> Withheld {
    Withheld { name: row.name.clone(), address: row.address.clone(), reason }
}

fn released(row: &IntegrationRow, wants_whole_run: bool) -> ReleasedSecret {
    ReleasedSecret {
        integration: row.id,
        address: row.address.clone(),
        secret_version: row.secret_version,
        whole_run: row.permit_whole_run && wants_whole_run,
    }
}

/// The secret; `None` when what is stored does not open for this integration as it is now.
fn open(state: &ServerState, lease: &AgentLease, row: &IntegrationRow) -> Result<Option<Secret>, ApiError> {
    let permit = lease.open(Protected::RegistrySecret)?;
    match state.vault.open(&permit, &secret_context(row), &Sealed::from_bytes(row.secret.clone())) {
        Ok(secret) => Ok(Some(secret)),
        Err(error @ (VaultError::NotPermitted | VaultError::Library)) => Err(error.into()),
        Err(error) => {
            tracing::error!(integration = %row.id, name = row.name, %error, "a registry secret does not open; set it again");
            Ok(None)
        }
    }
}

fn credential(row: IntegrationRow, secret: Secret, wants_whole_run: bool) -> RegistryCredential {
    RegistryCredential {
        integration: row.id,
        name: row.name,
        address: row.address,
        username: row.username,
        secret,
        ca_pem: row.ca_pem,
        token_service: row.token_service,
        whole_run: row.permit_whole_run && wants_whole_run,
    }
}
