//! The report of a phase's end.
//!
//! Rule: no secret of the run, whatever it says. The log first, so that whoever sees the end sees all of it; then the end, repeated until the server has it.
//! The end of an apply is worth waiting for much longer than the end of a plan, which can be made again.

use super::Host;
use super::claim::Lease;
use super::failure::Stop;
use super::log::Spool;
use super::needles;
use super::steps::Run;
use crate::protocol::agent::{Finish, NextAction, Outcome, PlanSummary, Receipt};
use crate::protocol::id::RequestId;
use crate::protocol::run::{Phase, Step};
use std::time::Duration;

/// How long the end of a log may take to be sent.
const LOG_PATIENCE: Duration = Duration::from_secs(30);

/// What is known of a phase besides how it ended.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) plan: Option<PlanSummary>,
    pub(crate) artifact_digest: Option<String>,
    pub(crate) backend: Option<String>,
    pub(crate) receipt: Option<Receipt>,
}

impl Report {
    /// Notes for people, if there is a receipt to carry them.
    pub(crate) fn note(&mut self, note: String) {
        if let Some(receipt) = &mut self.receipt {
            receipt.stay.notes.push(note);
        }
    }
}

/// Reports; gives what is to be done next. A server that does not take it any more has nothing to do for us.
pub(crate) async fn finish(
    run: &Run<'_>,
    phase: Phase,
    spool: Spool,
    outcome: Result<Outcome, Stop>,
    report: Report,
) -> NextAction {
    let log_bytes = spool.finish(LOG_PATIENCE).await;
    failpoint!("agent.log.sent");
    let run_directory = report.artifact_digest.as_ref().map(|_| run.directory.path().display().to_string());
    let mut finish = ended(outcome, run.lease);
    finish.plan = report.plan;
    finish.artifact_digest = report.artifact_digest;
    finish.run_directory = run_directory;
    finish.backend = report.backend;
    finish.receipt = report.receipt;
    finish.log_bytes = log_bytes;
    let redactions = run.log.redactions();
    if let Some(failure) = &mut finish.failure {
        needles::hide_in_failure(failure, redactions);
    }
    if let Some(receipt) = &mut finish.receipt {
        needles::hide_in_receipt(receipt, redactions);
    }
    send(run.host, run.lease, phase, &finish).await
}

/// The same for a run that never got a place on this host.
pub(crate) async fn finish_unplaced(host: &Host, lease: &Lease, stop: Stop) {
    send(host, lease, lease.claim.phase, &ended(Err(stop), lease)).await;
}

async fn send(host: &Host, lease: &Lease, phase: Phase, finish: &Finish) -> NextAction {
    let patience = host.settings.patience;
    let patience = if phase == Phase::Apply { patience.state_write } else { patience.request };
    match lease.persist(patience, || lease.server.finish(finish)).await {
        Ok(answer) => {
            failpoint!("agent.finish.sent");
            answer.next
        }
        Err(error) => {
            tracing::warn!(run = %lease.claim.run, %phase, %error, "the end of a phase could not be reported");
            NextAction::Done
        }
    }
}

fn ended(outcome: Result<Outcome, Stop>, lease: &Lease) -> Finish {
    let (outcome, failure) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(Stop::Canceled) => (Outcome::Canceled, None),
        Err(Stop::Failed(failure) | Stop::SecretsRemain(failure)) => (Outcome::Failed, Some(failure)),
    };
    if let Some(failure) = &failure {
        // Not its message: that may be tofu's own words, with whatever values stand in them.
        let (class, step) = (failure.class, failure.step.map(Step::word));
        tracing::info!(run = %lease.claim.run, ?class, step, ?outcome, "phase failed");
    }
    Finish {
        request: RequestId::generate(),
        outcome,
        failure,
        plan: None,
        artifact_digest: None,
        run_directory: None,
        backend: None,
        receipt: None,
        log_bytes: 0,
    }
}
