//! The step `plan`: makes the plan file, in memory.

use super::{Initialized, Run, Start, failed};
use crate::agent::failure::Stop;
use crate::agent::whole_run::Lending;
use crate::process::ExitReason;
use crate::protocol::run::{RunKind, Step};
use crate::tofu::arguments::{self, PlanKind};
use crate::tofu::hint;

/// There is a plan file with changes in it.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(super) initialized: Initialized,
}

impl Planned {
    /// The plan file was put back from the approved artifact.
    pub(crate) fn restored(initialized: Initialized) -> Self {
        Self { initialized }
    }
}

/// Plans, with what the step is lent; `None` when there is nothing to do.
pub(crate) async fn plan(run: &Run<'_>, initialized: Initialized, lending: &Lending) -> Result<Option<Planned>, Stop> {
    run.report(Step::Plan).await?;
    failpoint!("agent.plan.reported");
    let kind = match run.lease.claim.kind {
        RunKind::Plan => PlanKind::PlanOnly,
        RunKind::Apply => PlanKind::Apply,
        RunKind::Destroy => PlanKind::Destroy,
    };
    let arguments = arguments::plan(kind, &run.directory.plan_file());
    let variables = initialized.variables(run).into_iter().chain(lending.variables(run)).collect();
    let ended = run.start(Start::new(Step::Plan, arguments, variables)).await?;
    failpoint!("agent.plan.ended");
    match ended.end.exit {
        ExitReason::Code(0) => Ok(None),
        // `-detailed-exitcode`: there are changes.
        ExitReason::Code(2) => Ok(Some(Planned { initialized })),
        _ => Err(failed(Step::Plan, &ended, hint::find_after_fetch(&ended.tail))),
    }
}
