//! The question whether to apply what was planned.
//!
//! Rule: only `yes` applies and only `no` discards; everything else leaves the plan waiting, for whoever decides later.

use super::error::CommandError;
use super::harmless::printable;
use super::prompt;
use super::run_show::plan;
use super::screen::Screen;
use super::session::Session;
use crate::protocol::api::{self, Run};
use crate::protocol::run::RunKind;

/// How often is asked.
const QUESTIONS: usize = 3;

/// What came of the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// It will be applied.
    Approved,
    /// The plan is thrown away.
    Discarded,
    /// Nobody has decided.
    Left,
    /// Somebody else decided, or the run ended otherwise.
    Overtaken,
}

/// Asks; `decided_elsewhere` ends when the run waits no more.
pub(super) async fn ask(
    run: &Run,
    session: &Session,
    decided_elsewhere: impl Future<Output = Result<(), CommandError>>,
) -> Result<Answer, CommandError> {
    let Session { client, screen, .. } = session;
    if let Some(summary) = &run.plan {
        screen.heading(format_args!("Plan: {}", plan(summary)));
    }
    let question = question(run);
    let decision = tokio::select! {
        _ = tokio::signal::ctrl_c() => None,
        decided = decided_elsewhere => {
            decided?;
            screen.note("\nsomebody else has decided");
            return Ok(Answer::Overtaken);
        }
        decision = decide(&question, *screen) => decision?,
    };
    Ok(match decision {
        Some(true) => {
            let approval = api::Approval { artifact_digest: run.artifact_digest.clone() };
            client.approve_run(run.id, &approval).await?;
            Answer::Approved
        }
        Some(false) => {
            client.discard_run(run.id).await?;
            screen.note(format_args!("{} is discarded; nothing was applied", run.id));
            Answer::Discarded
        }
        None => {
            screen.note(format_args!(
                "\nNothing was applied; the plan waits.\n  apply it:         nigari run approve --follow {id}\n  throw it away:    \
                 nigari run discard {id}",
                id = run.id
            ));
            Answer::Left
        }
    })
}

fn question(run: &Run) -> String {
    if run.kind == RunKind::Destroy {
        let workspace = printable(&run.workspace_name);
        format!(
            "Destroy everything that the state of `{workspace}` knows? Only `yes` destroys it, `no` discards the plan: "
        )
    } else {
        "Apply it? Only `yes` applies it, `no` discards it: ".to_owned()
    }
}

/// `yes` or `no`; nothing when neither was said often enough.
async fn decide(question: &str, screen: Screen) -> Result<Option<bool>, CommandError> {
    for _ in 0..QUESTIONS {
        let question = question.to_owned();
        let answer = tokio::task::spawn_blocking(move || prompt::ask(&question)).await;
        let answer = answer.map_err(|error| CommandError::io("asking broke off", std::io::Error::other(error)))??;
        match answer.trim() {
            "yes" => return Ok(Some(true)),
            "no" => return Ok(Some(false)),
            _ => screen.note("please answer `yes` or `no`, in full"),
        }
    }
    Ok(None)
}
