//! `nigari run …`
//!
//! Rule: what a person decides about a run is one request; what comes of it is the server's answer.

use clap::{Args, Subcommand, ValueEnum};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::follow::{self, Approval as Approving};
use super::screen::time;
use super::session::Session;
use super::{run_log, run_show};
use crate::client::RunFilter;
use crate::protocol::api::{Approval, Cancellation, Resolution, ResolvedAs, Run};
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, RunState};

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List runs, newest first
    List(ListArguments),
    /// Show a run: its steps, what failed, and its receipts
    Show {
        /// The run [default: the newest]
        run: Option<RunId>,
        /// The newest run of this workspace
        #[arg(short, long, conflicts_with = "run")]
        workspace: Option<String>,
    },
    /// Write a run's log to stdout
    Logs {
        /// The run
        run: RunId,
        /// Only this phase's
        #[arg(long, value_enum)]
        phase: Option<PhaseName>,
        /// Go on until the run rests, and end with its exit code
        #[arg(short, long, conflicts_with = "phase")]
        follow: bool,
    },
    /// Approve what a run has planned: it will be applied
    Approve {
        /// The run
        run: RunId,
        /// Refuse unless this is what waits (`run show` tells it)
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
        /// Follow the apply, and end with its exit code
        #[arg(short, long)]
        follow: bool,
    },
    /// Throw a run's plan away
    Discard {
        /// The run
        run: RunId,
    },
    /// Cancel a run: tofu is interrupted and ends in order
    Cancel {
        /// The run
        run: RunId,
        /// Do not wait for tofu: kill it. May leave resources that no state knows
        #[arg(long)]
        kill: bool,
    },
    /// Say what became of a lost run; frees its workspace and state lock
    #[command(group = clap::ArgGroup::new("as").required(true))]
    Resolve {
        /// The run
        run: RunId,
        /// It was applied
        #[arg(long, group = "as")]
        applied: bool,
        /// It was not
        #[arg(long, group = "as")]
        not_applied: bool,
    },
}

/// Arguments of `list`.
#[derive(Debug, Args)]
pub(super) struct ListArguments {
    /// Only of this workspace
    #[arg(short, long)]
    workspace: Option<String>,
    /// Only in this state: `queued`, `awaiting_approval`, `lost`, …
    #[arg(long)]
    state: Option<RunState>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Phases, as words of the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum PhaseName {
    /// fetch, init, plan, show
    Plan,
    /// init, apply
    Apply,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<ExitStatus, CommandError> {
    let client = &session.client;
    match verb {
        Verb::List(arguments) => list(arguments, session).await?,
        Verb::Show { run, workspace } => {
            let run = match run {
                Some(run) => run,
                None => newest(workspace, session).await?,
            };
            run_show::show(run, session).await?;
        }
        Verb::Logs { run, follow: true, .. } => return follow::to_the_end(run, Approving::Leave, session).await,
        Verb::Logs { run, phase, .. } => {
            let phases = match phase {
                Some(PhaseName::Plan) => &[Phase::Plan][..],
                Some(PhaseName::Apply) => &[Phase::Apply],
                None => Phase::ALL,
            };
            for phase in phases {
                run_log::write_log(run, *phase, session).await?;
            }
        }
        Verb::Approve { run, digest, follow } => {
            let approved = client.approve_run(run, &Approval { artifact_digest: digest }).await?;
            if follow {
                return follow::apply_to_the_end(run, session).await;
            }
            tell(&approved, session)?;
        }
        Verb::Discard { run } => tell(&client.discard_run(run).await?, session)?,
        Verb::Cancel { run, kill } => tell(&client.cancel_run(run, &Cancellation { kill }).await?, session)?,
        Verb::Resolve { run, applied, .. } => {
            let resolved_as = if applied { ResolvedAs::Applied } else { ResolvedAs::NotApplied };
            tell(&client.resolve_run(run, &Resolution { resolved_as }).await?, session)?;
        }
    }
    Ok(ExitStatus::Ok)
}

/// The newest run, of all or of one workspace.
async fn newest(workspace: Option<String>, session: &Session) -> Result<RunId, CommandError> {
    let filter = RunFilter { workspace, limit: Some(1), ..RunFilter::default() };
    let list = session.client.runs(&filter).await?;
    let newest = list.items.first().map(|run| run.id);
    newest.ok_or_else(|| {
        CommandError::refused("there is no run yet", "`nigari plan DIR` or `nigari apply DIR` makes one")
    })
}

async fn list(arguments: ListArguments, session: &Session) -> Result<(), CommandError> {
    let ListArguments { workspace, state, limit } = arguments;
    let filter = RunFilter { workspace, state, limit: Some(limit), before: None };
    let list = session.client.runs(&filter).await?;
    session.screen.list(&list.items, &["RUN", "WORKSPACE", "KIND", "STATE", "MADE", "BY", "MESSAGE"], |run| {
        vec![
            run.id.to_string(),
            run.workspace_name.clone(),
            run.kind.to_string(),
            run.state.to_string(),
            time(run.created_at),
            run.created_by.clone(),
            run.message.clone(),
        ]
    })
}

fn tell(run: &Run, session: &Session) -> Result<(), CommandError> {
    if session.screen.json {
        return session.screen.json(run);
    }
    let wish = if run.cancel_requested && !run.state.is_final() { " (asked to end)" } else { "" };
    session.screen.line(format_args!("{} is {}{wish}", run.id, run.state))
}
