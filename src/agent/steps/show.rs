//! The step `show`: the plan as JSON, for its summary alone.
//!
//! Rule: the document holds sensitive values in clear. It is read as it comes and never kept, logged or sent.

use std::fs::File;
use std::time::Duration;

use super::output::SURVIVORS;
use super::{Planned, Run, Start, failed};
use crate::agent::failure::{Stop, describe};
use crate::protocol::agent::PlanSummary;
use crate::protocol::run::Step;
use crate::sandbox::Output;
use crate::tofu::arguments;
use crate::tofu::plan_json::{self, PlanJsonError};

/// Summarizes the plan.
pub(crate) async fn show(run: &Run<'_>, planned: &Planned) -> Result<PlanSummary, Stop> {
    run.report(Step::Show).await?;
    failpoint!("agent.show.reported");
    let (given, summary) = tokio::sync::oneshot::channel();
    let mut start =
        Start::new(Step::Show, arguments::show(&run.directory.plan_file()), planned.initialized.variables(run));
    start.reader = Some(Box::new(move |stdout: Output| {
        tokio::task::spawn_blocking(move || {
            let Ok(mut stdout) = stdout.into_blocking_fd().map(File::from) else { return };
            let summary = plan_json::summarize(&mut stdout);
            // Whatever follows must not stop the process.
            let _ = std::io::copy(&mut stdout, &mut std::io::sink());
            let _ = given.send(summary);
        });
    }));
    let ended = run.start(start).await?;
    if !ended.is_success() {
        return Err(failed(Step::Show, &ended, None));
    }
    failpoint!("agent.show.ended");
    // Whom the kernel does not let die may hold the document open for ever.
    let limit = if ended.end.survivors == 0 { Duration::MAX } else { SURVIVORS };
    match tokio::time::timeout(limit, summary).await.unwrap_or(Ok(Err(PlanJsonError::Held))) {
        Ok(Ok(summary)) => Ok(PlanSummary {
            add: summary.add,
            change: summary.change,
            destroy: summary.destroy,
            import: summary.import,
            outputs: summary.outputs,
        }),
        Ok(Err(error)) => Err(Stop::infrastructure(describe(&error), None).during(Step::Show)),
        Err(_) => Err(Stop::infrastructure("the plan's summary was given up", None).during(Step::Show)),
    }
}
