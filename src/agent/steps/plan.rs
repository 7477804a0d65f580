//! The step `plan`: makes the plan file, in memory.

use super::{Initialized, Run, Start, failed};
use crate::agent::failure::Stop;
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

/// Plans; `None` when there is nothing to do.
pub(crate) async fn plan(run: &Run<'_>, initialized: Initialized) -> Result<Option<Planned>, Stop> {
    run.report(Step::Plan).await?;
    failpoint!("agent.plan.reported");
    let kind = match run.lease.claim.kind {
        RunKind::Plan => PlanKind::PlanOnly,
        RunKind::Apply => PlanKind::Apply,
        RunKind::Destroy => PlanKind::Destroy,
    };
    let arguments = arguments::plan(kind, &run.directory.plan_file());
    let ended = run.start(Start::new(Step::Plan, arguments, initialized.variables(run))).await?;
    failpoint!("agent.plan.ended");
    match ended.end.exit {
        ExitReason::Code(0) => Ok(None),
        // `-detailed-exitcode`: there are changes.
        ExitReason::Code(2) => Ok(Some(Planned { initialized })),
        _ => Err(failed(Step::Plan, &ended, hint::find_after_fetch(&ended.tail))),
    }
}
