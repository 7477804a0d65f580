//! Taking a phase, and the lease that comes with it.
//!
//! Rule: a claim's id is made once and repeated until its answer has come, so that a lost answer loses no run. The
//! lease renews itself until it is dropped; whoever holds it may speak for the run.

mod keeper;
mod times;

use std::time::Duration;

use tokio_util::sync::CancellationToken;

pub(crate) use keeper::{Keeper, RenewError, Renewal};

use super::orders::Orders;
use super::session::Session;
use crate::client::{ClientError, LeasedRun, retry};
use crate::clock::BootInstant;
use crate::protocol::agent::{Claim, ClaimRequest};
use crate::protocol::id::ClaimId;

/// A claimed phase, for as long as it is held.
#[derive(Debug)]
pub(crate) struct Lease {
    /// What to do.
    pub(crate) claim: Claim,
    /// The server, as this run's work sees it.
    pub(crate) server: LeasedRun,
    /// What the run is told.
    pub(crate) orders: Orders,
    session: Session,
    _kept: keeper::Kept,
}

/// Waits for a phase to do; `None` when `stop` comes first. Gives up only for errors that no repeat will better.
pub(crate) async fn next(
    session: &Session,
    keeper: &Keeper,
    stop: &CancellationToken,
) -> Result<Option<Lease>, ClientError> {
    loop {
        let claim = ClaimId::generate();
        let sent = BootInstant::now();
        let answer = tokio::select! {
            answer = ask(session, claim) => answer?,
            () = stop.cancelled() => {
                // The server may just have given it: what was not taken is given back.
                release(session, claim).await;
                return Ok(None);
            }
        };
        if let Some(claim) = answer {
            failpoint!("agent.claim.answered");
            return Ok(Some(hold(session, keeper, claim, sent)));
        }
    }
}

/// One long poll, repeated with the same id until its answer has come.
async fn ask(session: &Session, claim: ClaimId) -> Result<Option<Claim>, ClientError> {
    let request = ClaimRequest { claim, hold_seconds: session.hold.as_secs() };
    let mut backoff = retry::Backoff::new();
    loop {
        match session.persist(session.hold * 3, || session.client.claim(&request)).await {
            Err(error) if error.is_retryable() => {
                let pause = backoff.next_pause(error.retry_after());
                tracing::debug!(%error, pause_ms = pause.as_millis(), "no answer to a claim");
                tokio::time::sleep(pause).await;
            }
            answer => return answer,
        }
    }
}

async fn release(session: &Session, claim: ClaimId) {
    let released = session.persist(Duration::from_secs(5), || session.client.release(claim)).await;
    if let Err(error) = released {
        tracing::debug!(%claim, %error, "a claim was not released; if there is a lease, it ends by itself");
    }
}

fn hold(session: &Session, keeper: &Keeper, claim: Claim, sent: BootInstant) -> Lease {
    let orders = Orders::new();
    let server = session.client.leased_run(claim.run, claim.epoch);
    let renewing = session.lease_client.leased_run(claim.run, claim.epoch);
    let renewal: Renewal = Box::new(move || {
        let renewing = renewing.clone();
        Box::pin(async move {
            renewing.renew().await.map_err(|error| match error.status() {
                Some(403 | 404 | 409) if error.problem().is_some() => RenewError::Stale,
                // Also 401: the session was just replaced, and the next try has its token.
                _ => RenewError::Away(error.to_string()),
            })
        })
    });
    let kept = keeper.keep(sent, Duration::from_secs(claim.lease_seconds), &orders, renewal);
    Lease { claim, server, orders, session: session.clone(), _kept: kept }
}

impl Lease {
    /// Repeats an idempotent call for this run while the server is away, whatever the run is told meanwhile: for what
    /// must be said about its end.
    pub(crate) async fn persist<T, F>(&self, patience: Duration, call: impl FnMut() -> F) -> Result<T, ClientError>
    where
        F: Future<Output = Result<T, ClientError>>,
    {
        self.session.persist(patience, call).await
    }

    /// The session that it was claimed in, for what is left to say when the lease is over.
    pub(crate) fn session(&self) -> &Session {
        &self.session
    }

    /// Gives the phase back; only before its first step was reported.
    pub(crate) async fn release(self) {
        release(&self.session, self.claim.claim).await;
    }
}
