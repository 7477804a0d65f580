//! THE PAGE: one phase of a run on this host, in the order in which it happens.
//!
//! Rule: what comes later needs what came before, by value. After `fetch` nothing here can name a credential, but what may
//! stay for the whole run and is only ever lent; without the plan file there is no apply, and it is gone once applied.

use std::sync::Arc;
use std::time::Duration;

use super::claim::Lease;
use super::directory::{Prepared, RunDirectory, Unplaced};
use super::failure::{Stop, with_hint};
use super::log::{self, Pace};
use super::report::{self, Report};
use super::steps::{self, Planned, Run};
use super::{Host, artifact, credentials, needles, phase_log, whole_run};
use crate::delivery::whole_run::Kept;
use crate::delivery::{self, Pending, Surroundings};
use crate::protocol::agent::{CredentialsAnswer, NextAction, Outcome, ReceiptEnd};
use crate::protocol::delivery::DeliveryChoice;
use crate::protocol::run::{Phase, RunKind, Step};
use crate::sandbox::OwnProgram;
use crate::tofu::backend::Backend;

/// How long this agent leaves a run alone that it gave back: whoever can have it should be first.
const BUSY_PAUSE: Duration = Duration::from_secs(5);

/// Secrets may remain on this host: the agent must end.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct SecretsRemain(String);

/// Does the claimed phase, and with auto-apply the one after it; leaves nothing behind.
pub(crate) async fn run(host: &Arc<Host>, lease: Lease) -> Result<(), SecretsRemain> {
    failpoint!("agent.claimed");
    let directory = match RunDirectory::reserve(host, &lease.claim) {
        Ok(directory) => Arc::new(directory),
        Err(Unplaced::NotHere(reason)) => return give_back(lease, &reason).await,
        Err(Unplaced::Broken(stop)) => {
            report::finish_unplaced(host, &lease, stop).await;
            return Ok(());
        }
    };
    failpoint!("agent.reserved");
    let first = lease.claim.phase;
    let redactions = host.redactions.below();
    redactions.add(needles::of_claim(&lease.claim));
    let (log, spool) = log::open(phase_log::of(&lease, first), Pace::default());
    let at = Run { host, lease: &lease, directory: &directory, log: log.without(&redactions) };
    let mut report = Report::of(&at, first);
    let (result, planned) = match first {
        Phase::Plan => match plan(&at, &mut report).await {
            Ok(Some(planned)) => (Ok(Outcome::Planned), Some(planned)),
            Ok(None) => (Ok(Outcome::NoChanges), None),
            Err(stop) => (Err(stop), None),
        },
        Phase::Apply => (apply_elsewhere(&at, &mut report).await.map(|()| Outcome::Applied), None),
    };
    let mut remains = secrets_remain(&result);
    let next = report::finish(&at, first, spool, result, report).await;
    if let (NextAction::ApplyNow, Some(planned)) = (next, planned) {
        failpoint!("agent.apply.now");
        let (log, spool) = log::open(phase_log::of(&lease, Phase::Apply), Pace::default());
        let at = Run { log: log.without(&redactions), ..at.clone() };
        let mut report = Report::of(&at, Phase::Apply);
        let result = apply(&at, planned, &mut report).await.map(|()| Outcome::Applied);
        remains = remains.or(secrets_remain(&result));
        report::finish(&at, Phase::Apply, spool, result, report).await;
    }
    failpoint!("agent.run.over");
    drop(at);
    let wiped = directory.wipe().await;
    remains.or(wiped.err()).map_or(Ok(()), |reason| Err(SecretsRemain(redactions.text(&reason))))
}

/// fetch, init, plan, show. `None` when there is nothing to do; else the plan, and what the apply may be lent.
async fn plan(at: &Run<'_>, report: &mut Report) -> Result<Option<(Planned, Kept)>, Stop> {
    // First of all, because a broken CLI configuration must not meet a credential.
    let (operator, _) =
        at.host.operator.current(&at.host.secrets).map_err(|error| Stop::from(error).during(Step::Fetch))?;
    at.log.redactions().add(needles::of_operator(&operator));
    let wish = at.host.settings.delivery.and(at.lease.claim.delivery);
    // Each to its end: what has come is told of, whatever the configuration is.
    let (prepared, answer) = tokio::join!(prepare(at), Box::pin(request(at, wish, report)));
    let (prepared, answer) = (prepared?, answer?);
    failpoint!("agent.credentials.received");
    let (known, kept) = (steps::Known::of(&answer), whole_run::keep(at, &answer));
    report.backend = Some(steps::backend_name(&prepared.backend).to_owned());
    let passed = at.host.passed_to_fetch();
    let sources = prepared.sources.clone().with_mirrors(&operator.oci_mirrors()?);
    let program = OwnProgram::find(at.directory.path());
    let program = program.map(Arc::new).map_err(|error| Stop::io("cannot find this program for tofu", &error))?;
    let surroundings = Surroundings {
        operator: &operator,
        system_roots: at.host.settings.system_roots.as_deref(),
        clock: &at.host.clock,
        passed: Some(&passed),
        wish,
        sandbox: at.host.sandbox,
        sources: &sources,
        program: &program,
        private: at.directory.private().path(),
        redactions: at.log.redactions(),
    };
    at.host.check_version(&answer.credentials, wish)?;
    let uploaded = steps::Picture::take(at).await?;
    let stand_in = steps::stand_in(at, &prepared.backend).await?;
    let delivery = delivery::open(answer.credentials, surroundings).await?;
    failpoint!("agent.delivery.opened");
    report.expect(at, delivery.receipt())?;
    let (receipt, modules) = steps::fetch(at, delivery, &known, &program).await;
    if let Some(receipt) = receipt {
        report.close(at, receipt);
    }
    stand_in.remove()?;
    note_backend(at, report, &prepared);
    if let Some(why) = whole_run::why_not(at, &kept) {
        report.note(at, why);
    }
    let initialized = steps::init(at, &prepared, uploaded.unchanged(at, modules).await?).await?;
    let lending = whole_run::lend(at, &kept, Step::Plan, report).await?;
    let planned = steps::plan(at, initialized, &lending).await;
    lending.end(at, (Step::Plan, end_of(&planned)), report).await;
    let Some(planned) = planned? else { return Ok(None) };
    report.plan = Some(steps::show(at, &planned).await?);
    if at.lease.claim.kind != RunKind::Plan && !at.lease.claim.auto_apply {
        report.artifact_digest = Some(artifact::seal(at).await?);
    }
    Ok(Some((planned, kept)))
}

/// Asks for the fetch step's credentials. There is a note of them before they come, and from then on a receipt.
async fn request(at: &Run<'_>, wish: DeliveryChoice, report: &mut Report) -> Result<CredentialsAnswer, Stop> {
    let asked = Pending::asked(wish, &at.host.clock);
    report.expect(at, &asked)?;
    let answer = credentials::request(at.lease, at.patience(), wish).await?;
    at.log.redactions().add(needles::of_credentials(&answer));
    report.expect(at, &asked.came(&answer.credentials))?;
    Ok(answer)
}

/// init, apply: of a plan that an earlier claim made, maybe on another host, and that was approved.
async fn apply_elsewhere(at: &Run<'_>, report: &mut Report) -> Result<(), Stop> {
    let (prepared, artifact) = tokio::try_join!(prepare(at), artifact::fetch(at))?;
    let modules = artifact::restore(at, artifact).await?;
    let initialized = steps::init(at, &prepared, modules).await?;
    let kept = whole_run::request(at, report).await?;
    apply(at, (Planned::restored(initialized), kept), report).await
}

/// apply, with what it may be lent.
async fn apply(at: &Run<'_>, (planned, kept): (Planned, Kept), report: &mut Report) -> Result<(), Stop> {
    let lending = whole_run::lend(at, &kept, Step::Apply, report).await?;
    let applied = steps::apply(at, planned, &lending).await;
    lending.end(at, (Step::Apply, end_of(&applied)), report).await;
    applied
}

/// How what was lent for a step ended.
fn end_of<T>(result: &Result<T, Stop>) -> ReceiptEnd {
    result.as_ref().map_or_else(Stop::end, |_| ReceiptEnd::StepOver)
}

/// Downloads the configuration, unpacks it, looks at what it says.
async fn prepare(at: &Run<'_>) -> Result<Prepared, Stop> {
    let download = || async { at.lease.server.configuration().await?.bytes().await };
    let archive = steps::ask(at.lease, at.patience(), download).await?;
    failpoint!("agent.configuration.received");
    let (directory, digest) = (Arc::clone(at.directory), at.lease.claim.configuration_digest.clone());
    let prepared = tokio::task::spawn_blocking(move || directory.prepare(archive, &digest)).await;
    prepared.unwrap_or_else(|_| Err(Stop::infrastructure("the configuration could not be unpacked", None)))
}

fn note_backend(at: &Run<'_>, report: &mut Report, prepared: &Prepared) {
    if let Backend::Kept(name) = &prepared.backend {
        report.note(at, format!("the configuration keeps its state itself, in `{name}`; nigari has no copy of it"));
    }
}

async fn give_back(lease: Lease, reason: &str) -> Result<(), SecretsRemain> {
    tracing::warn!(run = %lease.claim.run, reason, "a claim is given back");
    lease.release().await;
    tokio::time::sleep(BUSY_PAUSE).await;
    Ok(())
}

fn secrets_remain(result: &Result<Outcome, Stop>) -> Option<String> {
    match result {
        Err(Stop::SecretsRemain(failure)) => Some(with_hint(failure)),
        _ => None,
    }
}
