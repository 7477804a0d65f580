//! The report of a phase's end.
//!
//! Rule: no secret of the run, whatever it says. The log first, so that whoever sees the end sees all of it; then the end, repeated until the server has it.
//! The end of an apply is worth waiting for much longer than the end of a plan, which can be made again.

use super::claim::Lease;
use super::failure::Stop;
use super::log::Spool;
use super::receipt_note::{Owed, ReceiptNote};
use super::steps::Run;
use super::{Host, late_receipt, needles};
use crate::client::ClientError;
use crate::delivery::{Pending, whole_run};
use crate::protocol::agent::{Finish, NextAction, Outcome, PlanSummary, Receipt, ReceiptEnd, WholeRun};
use crate::protocol::id::RequestId;
use crate::protocol::run::{Phase, Step};
use std::time::Duration;

/// How long the end of a log may take to be sent.
const LOG_PATIENCE: Duration = Duration::from_secs(30);

/// What is known of a phase besides how it ended.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) plan: Option<PlanSummary>,
    pub(crate) artifact_digest: Option<String>,
    pub(crate) backend: Option<String>,
    receipt: Option<Receipt>,
    /// What the next agent tells if this one cannot.
    receipt_note: ReceiptNote,
}

impl Report {
    /// One of this phase, of which nothing is known yet.
    pub(crate) fn of(run: &Run<'_>, phase: Phase) -> Self {
        let claim = &run.lease.claim;
        let receipt_note = ReceiptNote::of(&run.host.settings.state_directory, claim.run, claim.epoch, phase);
        Self { plan: None, artifact_digest: None, backend: None, receipt: None, receipt_note }
    }

    /// Notes for people, if there is a receipt to carry them.
    pub(crate) fn note(&mut self, run: &Run<'_>, note: String) {
        if let Some(mut receipt) = self.receipt.take() {
            receipt.stay.notes.push(note);
            self.close(run, receipt);
        }
    }

    /// Credentials are asked for, have come, or are about to be lent. Once there is one, there is a receipt.
    pub(crate) fn expect(&mut self, run: &Run<'_>, pending: &Pending) -> Result<(), Stop> {
        let sandbox = run.host.sandbox;
        if !pending.hosts().is_empty() {
            self.receipt = Some(pending.unused(sandbox, &run.host.clock));
        }
        self.keep_open(run, &pending.swept(sandbox))
    }

    /// Whether no step was lent anything yet.
    pub(crate) fn is_unlent(&self) -> bool {
        self.receipt.as_ref().is_none_or(|receipt| receipt.end == ReceiptEnd::NeverBegan)
    }

    /// What was lent is gone: this is the receipt from now on.
    pub(crate) fn close(&mut self, run: &Run<'_>, receipt: Receipt) {
        if let Err(error) = self.receipt_note.close(&receipt, run.log.redactions()) {
            // What it said before is that they may be there: the next agent looks.
            tracing::warn!(run = %run.lease.claim.run, %error, "the note of a receipt could not be written");
        }
        self.receipt = Some(receipt);
    }

    /// A broker is open for a step after it.
    pub(crate) fn lends(&mut self, run: &Run<'_>, open: WholeRun) -> Result<(), Stop> {
        let receipt = self.with(open, ReceiptEnd::Swept, run);
        self.keep_open(run, &receipt)
    }

    /// It was closed: a part of the fetch step's receipt, or one of its own.
    pub(crate) fn lent(&mut self, run: &Run<'_>, closed: WholeRun, end: ReceiptEnd) {
        let receipt = self.with(closed, end, run);
        self.close(run, receipt);
    }

    fn with(&self, lent: WholeRun, end: ReceiptEnd, run: &Run<'_>) -> Receipt {
        let sandbox = run.host.sandbox;
        match self.receipt.clone().filter(|_| !self.is_unlent()) {
            Some(mut receipt) => {
                receipt.stay.notes.push(format!("after the fetch step: {}", whole_run::meaning(sandbox)));
                receipt.whole_run = Some(lent);
                receipt
            }
            None => whole_run::receipt(lent, end, sandbox),
        }
    }

    /// Without the note nothing may be lent.
    fn keep_open(&self, run: &Run<'_>, receipt: &Receipt) -> Result<(), Stop> {
        let kept = self.receipt_note.open(receipt, run.log.redactions());
        kept.map_err(|error| Stop::io("cannot note what becomes of the credentials", &error))
    }
}

/// Reports; gives what is to be done next. A server that does not take it any more has nothing to do for us.
pub(crate) async fn finish(
    run: &Run<'_>,
    phase: Phase,
    spool: Spool,
    outcome: Result<Outcome, Stop>,
    mut report: Report,
) -> NextAction {
    if let Some(mut receipt) = report.receipt.take() {
        if receipt.end == ReceiptEnd::NeverBegan {
            receipt.stay.ended_at = run.host.clock.now();
        }
        needles::hide_in_receipt(&mut receipt, run.log.redactions());
        report.close(run, receipt);
    }
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
    let sent = send(run.host, run.lease, phase, &finish).await;
    // A report that comes too late to count is kept with its receipt.
    let has_receipt = sent.as_ref().map_or_else(|error| error.is_problem("stale_epoch"), |_| true);
    match finish.receipt {
        Some(receipt) if !has_receipt => {
            let (claim, session) = (&run.lease.claim, run.lease.session().clone());
            let owed = Owed { run: claim.run, epoch: claim.epoch, phase, note: report.receipt_note };
            tokio::spawn(async move { late_receipt::tell(&session, &owed, &receipt).await });
        }
        _ => report.receipt_note.remove(),
    }
    sent.unwrap_or(NextAction::Done)
}

/// The same for a run that never got a place on this host.
pub(crate) async fn finish_unplaced(host: &Host, lease: &Lease, stop: Stop) {
    let _ = send(host, lease, lease.claim.phase, &ended(Err(stop), lease)).await;
}

async fn send(host: &Host, lease: &Lease, phase: Phase, finish: &Finish) -> Result<NextAction, ClientError> {
    let patience = host.settings.patience;
    let patience = if phase == Phase::Apply { patience.state_write } else { patience.request };
    match lease.persist(patience, || lease.server.finish(finish)).await {
        Ok(answer) => {
            failpoint!("agent.finish.sent");
            Ok(answer.next)
        }
        Err(error) => {
            tracing::warn!(run = %lease.claim.run, %phase, %error, "the end of a phase could not be reported");
            Err(error)
        }
    }
}

fn ended(outcome: Result<Outcome, Stop>, lease: &Lease) -> Finish {
    let (outcome, failure) = match outcome {
        Ok(outcome) => (outcome, None),
        Err(Stop::Canceled { .. }) => (Outcome::Canceled, None),
        Err(Stop::Failed(failure) | Stop::Ended(_, failure) | Stop::SecretsRemain(failure)) => {
            (Outcome::Failed, Some(failure))
        }
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
