//! What an agent reports of a phase's end, sealed: failure, receipt, the whole.
//!
//! Rule: tofu's own words may hold a sensitive value, or with the delivery `file` a credential, so none of them stands
//! readable in the database. Each is bound to its run, epoch, phase and column.

use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{ApiError, ServerState};
use crate::protocol::agent::{Failure, FailureClass};
use crate::protocol::id::RunId;
use crate::protocol::run::Phase;
use crate::server::policy::{Permit, Protected};
use crate::server::store::runs::row::SealedFailure;
use crate::server::vault::{Context, Sealed};

/// What was reported.
#[derive(Debug, Clone, Copy)]
pub(super) enum Column {
    /// The failure that the run shows.
    Failure,
    /// The receipt.
    Receipt,
    /// The whole report.
    Body,
    /// The digest by which a repeated report is known again.
    Digest,
}

/// The end of which phase, under which claim.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) run: RunId,
    pub(super) epoch: i64,
    pub(super) phase: Phase,
}

impl Place {
    fn context(self, column: Column) -> Context {
        let column = match column {
            Column::Failure => "failure",
            Column::Receipt => "receipt",
            Column::Body => "body",
            Column::Digest => "digest",
        };
        Context::new(Protected::Report, &self.run, self.epoch, column).within(&self.phase.word())
    }

    /// Seals it for this place.
    pub(super) fn seal<T: Serialize>(
        self,
        state: &ServerState,
        permit: &Permit,
        column: Column,
        value: &T,
    ) -> Result<Vec<u8>, ApiError> {
        let json = serde_json::to_vec(value).map_err(|_| ApiError::Fault("a report cannot be written"))?;
        Ok(state.vault.seal_bytes(permit, &self.context(column), &Zeroizing::new(json))?.into_bytes())
    }

    /// Opens what was sealed for this place.
    pub(super) fn open<T: DeserializeOwned>(
        self,
        state: &ServerState,
        permit: &Permit,
        column: Column,
        sealed: Vec<u8>,
    ) -> Result<T, ApiError> {
        let json = state.vault.open_bytes(permit, &self.context(column), &Sealed::from_bytes(sealed))?;
        serde_json::from_slice(&json).map_err(|_| ApiError::Fault("a sealed report is not JSON"))
    }

    /// The keyed digest of a report's canonical form: a plain one would tell whoever can guess the report.
    pub(super) fn digest(self, state: &ServerState, permit: &Permit, canonical: &[u8]) -> Result<String, ApiError> {
        Ok(hex::encode(state.vault.mark(permit, &self.context(Column::Digest), canonical)?))
    }
}

/// The failure of a run. One that does not open is shown as such: the run itself can still be looked at.
pub(super) fn failure(state: &ServerState, permit: &Permit, run: RunId, sealed: SealedFailure) -> Failure {
    let place = Place { run, epoch: sealed.epoch, phase: sealed.phase };
    place.open(state, permit, Column::Failure, sealed.sealed).unwrap_or_else(|error| {
        tracing::error!(%run, %error, "what failed in a run cannot be opened");
        Failure {
            class: FailureClass::Internal,
            step: None,
            message: "what failed cannot be read: it was changed in the database or sealed with another key".to_owned(),
            hint: Some("the run's log may say it".to_owned()),
        }
    })
}
