//! Registry credentials that stay for `plan` and `apply`: kept after the fetch step, lent by a broker for one step at a
//! time.
//!
//! Rule: they are only ever here or with that broker, and each use of them is in the phase's receipt. `init` and `show` get
//! nothing: no provider pulls there.

use super::credentials;
use super::failure::Stop;
use super::needles;
use super::report::Report;
use super::steps::Run;
use crate::delivery::Pending;
use crate::delivery::whole_run::{Around, Kept, Lent};
use crate::protocol::agent::{CredentialsAnswer, ReceiptEnd};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::run::Step;
use crate::secret::Secret;

/// Of what the fetch step got, what stays.
pub(crate) fn keep(run: &Run<'_>, answer: &CredentialsAnswer) -> Kept {
    if run.lease.claim.whole_run && wish(run).may_be_broker() { Kept::of(&answer.credentials) } else { Kept::default() }
}

/// The same for an apply whose plan another claim made; asks for them, after `init` was reported.
pub(crate) async fn request(run: &Run<'_>, report: &mut Report) -> Result<Kept, Stop> {
    if !run.lease.claim.whole_run || !wish(run).may_be_broker() {
        return Ok(Kept::default());
    }
    let asked = Pending::asked(wish(run), &run.host.clock);
    report.expect(run, &asked)?;
    let answer = credentials::request_for_apply(run.lease, run.patience(), wish(run)).await?;
    run.log.redactions().add(needles::of_credentials(&answer));
    report.expect(run, &asked.came(&answer.credentials))?;
    Ok(keep(run, &answer))
}

/// Why nothing stays although the workspace wants it, for the receipt.
pub(crate) fn why_not(run: &Run<'_>, kept: &Kept) -> Option<String> {
    if !run.lease.claim.whole_run || !kept.is_empty() {
        return None;
    }
    let wants = "the workspace wants credentials for the whole run, but";
    Some(match wish(run) {
        wish if !wish.may_be_broker() => {
            format!("{wants} they were lent for the fetch step alone: the delivery `{wish}` cannot do it, `broker` can")
        }
        _ => format!(
            "{wants} they were lent for the fetch step alone: no registry integration that a proxy can serve permits it; \
             `nigari registry update NAME --permit-whole-run` does"
        ),
    })
}

/// What a step is lent.
pub(crate) struct Lending(Option<Lent>);

/// Opens the broker, if there is something to lend.
pub(crate) async fn lend(run: &Run<'_>, kept: &Kept, step: Step, report: &mut Report) -> Result<Lending, Stop> {
    let host = run.host;
    if !kept.is_empty() && report.is_unlent() {
        report.expect(run, &kept.receipt(&host.clock))?;
    }
    let around = Around {
        system_roots: host.settings.system_roots.as_deref(),
        passed: &host.passed,
        clock: &host.clock,
        redactions: run.log.redactions(),
    };
    let lent = kept.lend(around).await.map_err(|error| Stop::from(error).during(step))?;
    if let Some(lent) = &lent {
        report.lends(run, lent.so_far(step))?;
        let written = run.directory.private().write_secret(&lent.file());
        written.map_err(|error| Stop::io("cannot write the broker's authority", &error).during(step))?;
    }
    Ok(Lending(lent))
}

impl Lending {
    /// What the step gets of it.
    pub(crate) fn variables(&self, run: &Run<'_>) -> Vec<(String, Secret)> {
        self.0.as_ref().map(|lent| lent.variables(run.directory.private().path())).unwrap_or_default()
    }

    /// Closes the broker, and tells of it in the phase's receipt: the fetch step's, or one of its own.
    pub(crate) async fn end(self, run: &Run<'_>, (step, end): (Step, ReceiptEnd), report: &mut Report) {
        let Some(lent) = self.0 else { return };
        let closed = lent.close(step, &run.host.clock).await;
        report.lent(run, closed, end);
    }
}

fn wish(run: &Run<'_>) -> DeliveryChoice {
    run.host.settings.delivery.and(run.lease.claim.delivery)
}
