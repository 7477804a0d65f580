//! `nigari run …`
//!
//! Rule: what a person decides about a run is one request; what comes of it is the server's answer.

use clap::{Args, Subcommand, ValueEnum};

use super::error::CommandError;
use super::exit::ExitStatus;
use super::follow::{self, Approval as Approving};
use super::run_choice::{Purpose, RunChoice};
use super::screen::time;
use super::session::Session;
use super::{run_log, run_show};
use crate::client::RunFilter;
use crate::protocol::api::{Approval, Cancellation, Resolution, ResolvedAs, Run};
use crate::protocol::run::{Phase, RunState};

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List runs, newest first
    List(ListArguments),
    /// Show a run, the newest if none is named: its steps, what failed, and its receipts
    Show {
        #[command(flatten)]
        run: RunChoice,
    },
    /// Write a run's log to stdout
    Logs {
        #[command(flatten)]
        run: RunChoice,
        /// Only this phase's
        #[arg(long, value_enum)]
        phase: Option<PhaseName>,
        /// Go on until the run rests, and end with its exit code
        #[arg(short, long, conflicts_with = "phase")]
        follow: bool,
    },
    /// Approve what a run has planned: it will be applied
    Approve {
        #[command(flatten)]
        run: RunChoice,
        /// Refuse unless this is what waits (`run show` tells it)
        #[arg(long, value_name = "SHA256")]
        digest: Option<String>,
        /// Follow the apply, and end with its exit code
        #[arg(short, long)]
        follow: bool,
    },
    /// Throw a run's plan away
    Discard {
        #[command(flatten)]
        run: RunChoice,
    },
    /// Cancel a run: tofu is interrupted and ends in order
    Cancel {
        #[command(flatten)]
        run: RunChoice,
        /// Do not wait for tofu: kill it. May leave resources that no state knows
        #[arg(long)]
        kill: bool,
    },
    /// Say what became of a lost run; frees its workspace and state lock
    #[command(group = clap::ArgGroup::new("as").required(true))]
    Resolve {
        #[command(flatten)]
        run: RunChoice,
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
        Verb::Show { run } => run_show::show(run.of(Purpose::Show, session).await?, session).await?,
        Verb::Logs { run, phase, follow } => {
            let run = run.of(Purpose::Read, session).await?;
            if follow {
                return follow::to_the_end(run, Approving::Leave, session).await;
            }
            let phases = match phase {
                Some(PhaseName::Plan) => &[Phase::Plan][..],
                Some(PhaseName::Apply) => &[Phase::Apply],
                None => Phase::ALL,
            };
            run_log::write_logs(run, phases, session).await?;
        }
        Verb::Approve { run, digest, follow } => {
            let run = run.of(Purpose::Decide, session).await?;
            let approved = client.approve_run(run, &Approval { artifact_digest: digest }).await?;
            if follow {
                return follow::apply_to_the_end(run, session).await;
            }
            tell(&approved, session)?;
        }
        Verb::Discard { run } => {
            let run = run.of(Purpose::Decide, session).await?;
            tell(&client.discard_run(run).await?, session)?;
        }
        Verb::Cancel { run, kill } => {
            let run = run.of(Purpose::Cancel, session).await?;
            tell(&client.cancel_run(run, &Cancellation { kill }).await?, session)?;
        }
        Verb::Resolve { run, applied, .. } => {
            let run = run.of(Purpose::Resolve, session).await?;
            let resolved_as = if applied { ResolvedAs::Applied } else { ResolvedAs::NotApplied };
            tell(&client.resolve_run(run, &Resolution { resolved_as }).await?, session)?;
        }
    }
    Ok(ExitStatus::Ok)
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
