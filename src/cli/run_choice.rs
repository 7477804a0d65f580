//! Which run is meant: its id, the beginning of it, or a workspace's.
//!
//! Rule: what is decided on is never guessed. A beginning that fits several runs, or a workspace with several for which it
//! is possible, is refused with all of them; only who looks gets the newest.

use std::fmt::Write;

use clap::Args;

use super::error::CommandError;
use super::screen::time;
use super::session::Session;
use crate::client::RunFilter;
use crate::protocol::api::Run;
use crate::protocol::id::RunId;
use crate::protocol::run::RunState;

/// Runs in one answer of the server.
const PAGE: u32 = 500;
/// Hexadecimal digits of a whole id.
const DIGITS: usize = 32;
/// What an id begins with.
const PREFIX: &str = "run-";

/// A run, as people name it.
#[derive(Debug, Clone, Args)]
pub(super) struct RunChoice {
    /// The run: its id, or the beginning of it
    #[arg(value_parser = beginning)]
    run: Option<String>,
    /// The run of this workspace for which this is possible; `show` and `logs` take the newest
    #[arg(short, long, value_name = "NAME", conflicts_with = "run")]
    workspace: Option<String>,
}

/// What is to be done, which is not possible for every run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Look at it; without a name, at the newest of all.
    Show,
    /// Read its log.
    Read,
    /// Decide on its plan.
    Decide,
    /// End it.
    Cancel,
    /// Say what became of it.
    Resolve,
}

impl Purpose {
    fn fits(self, state: RunState) -> bool {
        match self {
            Self::Show | Self::Read => true,
            Self::Decide => state == RunState::AwaitingApproval,
            Self::Cancel => !state.is_final() && state != RunState::Lost,
            Self::Resolve => state == RunState::Lost,
        }
    }

    const fn wanted(self) -> &'static str {
        match self {
            Self::Show | Self::Read => "",
            Self::Decide => " that waits for approval",
            Self::Cancel => " that could be ended",
            Self::Resolve => " that is lost",
        }
    }
}

impl RunChoice {
    /// The run that is meant.
    pub(super) async fn of(&self, purpose: Purpose, session: &Session) -> Result<RunId, CommandError> {
        match &self.run {
            Some(text) => named(text, session).await,
            None => match (&self.workspace, purpose) {
                (workspace, Purpose::Show) => newest(workspace.as_deref(), session).await,
                (Some(workspace), Purpose::Read) => newest(Some(workspace), session).await,
                (Some(workspace), _) => only(workspace, purpose, session).await,
                (None, _) => Err(CommandError::usage(
                    "which run is not said",
                    "give its id (`nigari run list`), or `-w WORKSPACE` for the run of a workspace",
                )),
            },
        }
    }
}

/// An id or the beginning of one, with or without `run-`.
fn beginning(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix(PREFIX).unwrap_or(text);
    let is_hexadecimal = digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if digits.is_empty() || digits.len() > DIGITS || !is_hexadecimal {
        return Err("neither the id of a run nor the beginning of one; `nigari run list` shows them".to_owned());
    }
    Ok(format!("{PREFIX}{digits}"))
}

async fn named(text: &str, session: &Session) -> Result<RunId, CommandError> {
    if let Ok(whole) = text.parse() {
        return Ok(whole);
    }
    let found = all(None, session, |run| run.id.to_string().starts_with(text)).await?;
    match found.as_slice() {
        [] => Err(CommandError::refused(format!("no run begins with `{text}`"), "`nigari run list` shows them")),
        [one] => Ok(one.id),
        several => Err(CommandError::usage(
            format!("`{text}` is the beginning of {} runs", several.len()),
            format!("give more of it:{}", lines(several)),
        )),
    }
}

/// Every run that fits, newest first.
async fn all(
    workspace: Option<&str>,
    session: &Session,
    fits: impl Fn(&Run) -> bool,
) -> Result<Vec<Run>, CommandError> {
    let mut found = Vec::new();
    let mut filter = RunFilter { workspace: workspace.map(str::to_owned), limit: Some(PAGE), ..RunFilter::default() };
    loop {
        let page = session.client.runs(&filter).await?;
        found.extend(page.items.into_iter().filter(&fits));
        filter.before = page.next;
        if filter.before.is_none() {
            return Ok(found);
        }
    }
}

fn lines(runs: &[Run]) -> String {
    let mut text = String::new();
    for run in runs {
        let _ = write!(text, "\n  {}  {}, {}, made {}", run.id, run.workspace_name, run.state, time(run.created_at));
    }
    text
}

/// The newest run, of a workspace or of all.
async fn newest(workspace: Option<&str>, session: &Session) -> Result<RunId, CommandError> {
    let filter = RunFilter { workspace: workspace.map(str::to_owned), limit: Some(1), ..RunFilter::default() };
    let list = session.client.runs(&filter).await?;
    list.items.first().map(|run| run.id).ok_or_else(|| {
        CommandError::refused("there is no run yet", "`nigari plan DIR` or `nigari apply DIR` makes one")
    })
}

/// The only run of a workspace for which it is possible.
async fn only(workspace: &str, purpose: Purpose, session: &Session) -> Result<RunId, CommandError> {
    let found = all(Some(workspace), session, |run| purpose.fits(run.state)).await?;
    match found.as_slice() {
        [] => Err(CommandError::refused(
            format!("the workspace `{workspace}` has no run{}", purpose.wanted()),
            format!("`nigari run list -w {workspace}` shows its runs"),
        )),
        [one] => Ok(one.id),
        several => Err(CommandError::usage(
            format!("the workspace `{workspace}` has more than one run{}", purpose.wanted()),
            format!("give the id of one:{}", lines(several)),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::beginning;

    #[test]
    fn a_beginning_is_hexadecimal_with_or_without_the_prefix() {
        assert_eq!(beginning("run-01a1").unwrap(), "run-01a1");
        assert_eq!(beginning("01a1").unwrap(), "run-01a1");
        for text in ["", "run-", "ws-01a1", "not-an-id", "01A1", "run-01a1fd86582072059141fd60117b5c251"] {
            assert!(beginning(text).is_err(), "{text}");
        }
    }
}
