//! The step `apply`: exactly the plan file, at most once.
//!
//! Rule: its report is the write-ahead mark and must be acknowledged before the process starts; only then may tofu
//! write the state. The plan comes in by value: it cannot be applied twice.

use super::{Planned, Run, Start, failed};
use crate::agent::failure::Stop;
use crate::agent::whole_run::Lending;
use crate::agent::{mark, rescue};
use crate::protocol::run::Step;
use crate::tofu::arguments;

/// Applies the plan, with what the step is lent.
pub(crate) async fn apply(run: &Run<'_>, planned: Planned, lending: &Lending) -> Result<(), Stop> {
    run.stop_if_told(Step::Apply)?;
    mark::write(run.directory.path(), run.lease.claim.epoch)
        .map_err(|error| Stop::io("cannot mark the apply", &error).during(Step::Apply))?;
    failpoint!("agent.apply.marked");
    run.report(Step::Apply).await?;
    failpoint!("agent.apply.reported");
    if let Some(gateway) = &planned.initialized.gateway {
        gateway.allow_writes();
    }
    let arguments = arguments::apply(&run.directory.plan_file());
    let variables = planned.initialized.variables(run).into_iter().chain(lending.variables(run)).collect();
    let ended = run.start(Start::new(Step::Apply, arguments, variables)).await;
    failpoint!("agent.apply.ended");
    // Before anything is wiped, and however it ended.
    let rescued = rescue::state(run.host, run.directory.path(), &run.lease.server).await;
    if let Some(rescued) = &rescued {
        run.log.note(rescued);
    }
    let ended = ended?;
    if ended.is_success() { Ok(()) } else { Err(failed(Step::Apply, &ended, rescued)) }
}
