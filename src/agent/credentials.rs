//! Asking for the run's registry credentials.
//!
//! Rule: only after the step `fetch` was reported, once per epoch; a lost answer is asked for again with the same
//! request id. What comes is handed on by value and kept nowhere. An apply asks for what may stay for the whole run, after
//! `init`.

use super::claim::Lease;
use super::failure::Stop;
use super::steps::ask;
use crate::protocol::agent::{CredentialsAnswer, CredentialsRequest, StepReport};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::id::RequestId;
use crate::protocol::run::Step;
use std::time::Duration;

/// Reports the step `fetch`, then asks for what may be delivered in that way.
pub(crate) async fn request(
    lease: &Lease,
    patience: Duration,
    delivery: DeliveryChoice,
) -> Result<CredentialsAnswer, Stop> {
    let report = StepReport { request: RequestId::generate() };
    let during = |stop: Stop| stop.during(Step::Fetch);
    ask(lease, patience, || lease.server.report_step(Step::Fetch, &report)).await.map_err(during)?;
    failpoint!("agent.fetch.reported");
    let request = CredentialsRequest { request: RequestId::generate(), delivery };
    ask(lease, patience, || lease.server.credentials(&request)).await.map_err(during)
}

/// Asks for what an apply may have, after its `init` was reported.
pub(crate) async fn request_for_apply(
    lease: &Lease,
    patience: Duration,
    delivery: DeliveryChoice,
) -> Result<CredentialsAnswer, Stop> {
    let request = CredentialsRequest { request: RequestId::generate(), delivery };
    ask(lease, patience, || lease.server.credentials(&request)).await.map_err(|stop| stop.during(Step::Apply))
}
