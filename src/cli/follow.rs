//! Following a run: its log as it grows, its plan, the question whether to apply it, its end.
//!
//! Rule: the run belongs to the server. Ctrl-C, a lost connection or a closed terminal end the following, never the
//! run; log and events are read from where we stand, so nothing is lost or shown twice.

use std::pin::Pin;
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use super::approval::{self, Answer};
use super::error::CommandError;
use super::exit::ExitStatus;
use super::harmless::printable;
use super::run_log::{Log, patiently, write_log};
use super::run_show::{failed, plan, remaining_lock, what_next};
use super::screen::Screen;
use super::session::Session;
use super::waiting;
use crate::protocol::api::{Run, RunEvent, RunEventKind};
use crate::protocol::id::RunId;
use crate::protocol::run::{Phase, RunState};

/// How long the server may hold a request.
const HOLD: Duration = Duration::from_secs(20);
/// How long the server has for what is only told by the way.
const ASIDE: Duration = Duration::from_secs(3);

/// What happens when the plan waits for approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Approval {
    /// Ask the person at the terminal.
    Ask,
    /// Leave it waiting and say how to approve.
    Leave,
}

/// How the following ended.
enum End {
    /// The run rests: final, lost, or waiting for approval.
    Rests,
    /// The person went away.
    Detached,
}

/// Follows a run from its beginning until it rests, and tells how it ended.
pub(super) async fn to_the_end(run: RunId, approval: Approval, session: &Session) -> Result<ExitStatus, CommandError> {
    let follower = Follower { session, run, after: 0, state: None, reason: None, reached: None, shown: None };
    follower.follow(approval).await
}

/// Follows the apply of a run that was just approved.
pub(super) async fn apply_to_the_end(run: RunId, session: &Session) -> Result<ExitStatus, CommandError> {
    let shown = Some(Phase::Plan);
    Follower { session, run, after: 0, state: None, reason: None, reached: shown, shown }.follow(Approval::Leave).await
}

struct Follower<'a> {
    session: &'a Session,
    run: RunId,
    /// Sequence of the last event that was seen.
    after: i64,
    /// The state that the last event told.
    state: Option<RunState>,
    /// What it waits for, as it was told last.
    reason: Option<String>,
    /// The last phase that has begun.
    reached: Option<Phase>,
    /// The last phase whose log was shown to its end.
    shown: Option<Phase>,
}

type Pending<'a, T> = Pin<Box<dyn Future<Output = Result<T, CommandError>> + 'a>>;

impl Follower<'_> {
    async fn follow(mut self, approval: Approval) -> Result<ExitStatus, CommandError> {
        let screen = self.session.screen;
        loop {
            if let End::Detached = self.watch().await? {
                return Ok(self.detached().await);
            }
            let found = self.session.client.run(self.run).await?;
            if found.state == RunState::AwaitingApproval && approval == Approval::Ask {
                match self.ask(&found).await? {
                    Answer::Approved | Answer::Overtaken => continue,
                    Answer::Discarded => return Ok(ExitStatus::Canceled),
                    Answer::Left => return Ok(ExitStatus::Changes),
                }
            }
            tell_end(&found, screen)?;
            if let Some(lock) = remaining_lock(&found, self.session).await {
                screen.note(lock);
            }
            return Ok(ExitStatus::of_run(found.state));
        }
    }

    /// Shows log and states until the run rests.
    async fn watch(&mut self) -> Result<End, CommandError> {
        let session = self.session;
        let mut events: Pending<Vec<RunEvent>> = Box::pin(events(session, self.run, self.after));
        let mut log: Option<Pending<Log>> = self.next_log(None);
        loop {
            let has_log = log.is_some();
            let reading = async {
                match log.as_mut() {
                    Some(log) => log.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => return Ok(End::Detached),
                read = reading => log = self.next_log(Some(read?)),
                seen = &mut events => {
                    self.see_all(&seen?);
                    events = Box::pin(self::events(session, self.run, self.after));
                    if !has_log {
                        log = self.next_log(None);
                    }
                }
            }
            if self.rests() {
                return self.drain(log).await.map(|()| End::Rests);
            }
            tokio::select! {
                biased;
                _ = tokio::signal::ctrl_c() => return Ok(End::Detached),
                () = self.tell_reason() => {}
            }
        }
    }

    /// Names what the run waits for, once and whenever that is something else.
    async fn tell_reason(&mut self) {
        if !self.state.is_some_and(is_waiting) {
            self.reason = None;
            return;
        }
        let asked = async {
            let run = self.session.client.run(self.run).await.ok()?;
            waiting::reason(&run, self.session).await
        };
        let reason = tokio::time::timeout(ASIDE, asked).await.ok().flatten();
        if let Some(reason) = reason.filter(|reason| self.reason.as_ref() != Some(reason)) {
            self.session.screen.note(&reason);
            self.reason = Some(reason);
        }
    }

    /// The person goes away: says what becomes of the run, which may be more than they think.
    async fn detached(&self) -> ExitStatus {
        let asked = tokio::time::timeout(ASIDE, self.session.client.run(self.run)).await;
        let run = asked.ok().and_then(Result::ok);
        let (what, id) = (what_becomes(run.as_ref()), self.run);
        self.session.screen.note(format_args!(
            "\ndetached: {what}.\n  follow it again:  nigari run logs --follow {id}\n  end it:           nigari run cancel {id}"
        ));
        ExitStatus::Ok
    }

    fn rests(&self) -> bool {
        self.state.is_some_and(|state| state.is_final() || matches!(state, RunState::AwaitingApproval | RunState::Lost))
    }

    /// Takes note of what happened; of several states only the last is told.
    fn see_all(&mut self, events: &[RunEvent]) {
        let screen = self.session.screen;
        let before = self.state;
        for event in events {
            self.after = self.after.max(event.sequence);
            match &event.kind {
                RunEventKind::State { state } => {
                    self.state = Some(*state);
                    self.reached = self.reached.max(begun_by(*state));
                }
                RunEventKind::CancelRequested { by, kill } => {
                    screen.note(format_args!(
                        "{} asked to {} the run",
                        printable(by),
                        if *kill { "kill" } else { "cancel" }
                    ));
                }
                RunEventKind::StateKeptAside { agent, path } => {
                    screen.note(format_args!("a state that tofu could not write is kept on `{agent}` in {path}"));
                }
                RunEventKind::Step { .. } | RunEventKind::Receipt { .. } => {}
            }
        }
        if self.state != before
            && let Some(words) = self.state.and_then(waiting_words)
        {
            screen.heading(format_args!("{}: {words}", self.run));
        }
    }

    /// The next read of a log, if there is one to read now.
    fn next_log(&mut self, read: Option<Log>) -> Option<Pending<'static, Log>> {
        if let Some(log) = read.filter(|log| !self.is_shown(log)) {
            return Some(Box::pin(log.read(Some(HOLD))));
        }
        let phase = self.next_phase()?;
        Some(Box::pin(Log::new(self.session, self.run, phase).read(Some(HOLD))))
    }

    /// Whether that log was read to its end, which is noted.
    fn is_shown(&mut self, log: &Log) -> bool {
        if log.complete {
            self.shown = Some(log.phase);
        }
        log.complete
    }

    /// The next phase that has begun and was not shown.
    fn next_phase(&self) -> Option<Phase> {
        Phase::ALL.iter().copied().find(|&phase| self.shown < Some(phase) && self.reached >= Some(phase))
    }

    /// Shows what is left of the logs when the run has come to rest.
    async fn drain(&mut self, reading: Option<Pending<'static, Log>>) -> Result<(), CommandError> {
        if let Some(reading) = reading {
            // The read that waits gets what is there, or ends with its hold.
            let log = reading.await?.finish().await?;
            self.shown = Some(log.phase);
        }
        while let Some(phase) = self.next_phase() {
            write_log(self.run, phase, self.session).await?;
            self.shown = Some(phase);
        }
        Ok(())
    }

    /// Asks whether to apply; also listens for others who decide meanwhile.
    async fn ask(&mut self, run: &Run) -> Result<Answer, CommandError> {
        let session = self.session;
        let decided_elsewhere = async {
            loop {
                let seen = events(session, self.run, self.after).await?;
                self.see_all(&seen);
                if self.state != Some(RunState::AwaitingApproval) {
                    return Ok(());
                }
            }
        };
        let answer = approval::ask(run, session, decided_elsewhere).await?;
        if answer == Answer::Approved {
            self.state = Some(RunState::ApplyQueued);
        }
        Ok(answer)
    }
}

/// The phase that is under way in `state`.
fn begun_by(state: RunState) -> Option<Phase> {
    match state {
        RunState::Planning => Some(Phase::Plan),
        RunState::Applying => Some(Phase::Apply),
        _ => None,
    }
}

fn waiting_words(state: RunState) -> Option<&'static str> {
    match state {
        RunState::Pending => Some("waits for another run of its workspace (`nigari run list` shows it)"),
        RunState::Queued => Some("waits for an agent"),
        RunState::ApplyQueued => Some("approved; waits for an agent"),
        RunState::Planning => Some("planning"),
        RunState::Applying => Some("applying"),
        _ => None,
    }
}

/// What happened after `after`; waits while the server is away.
async fn events(session: &Session, run: RunId, after: i64) -> Result<Vec<RunEvent>, CommandError> {
    let list =
        patiently(&session.client, session.screen, async |client| client.run_events(run, after, Some(HOLD)).await);
    Ok(list.await?.items)
}

fn is_waiting(state: RunState) -> bool {
    matches!(state, RunState::Pending | RunState::Queued | RunState::ApplyQueued)
}

/// What a run does when nobody follows it. `None`: the server does not say.
fn what_becomes(run: Option<&Run>) -> &'static str {
    match run {
        Some(run) if run.auto_apply && matches!(run.state, RunState::Pending | RunState::Queued) => {
            "the run stays queued; when its turn comes, it plans and applies by itself, without another question"
        }
        Some(run) if run.auto_apply && !run.state.is_final() => {
            "the run goes on without you, and applies by itself, without another question"
        }
        Some(run) if matches!(run.state, RunState::Pending | RunState::Queued) => {
            "the run stays queued; when its turn comes, it plans without you"
        }
        _ => "the run goes on without you",
    }
}

fn tell_end(run: &Run, screen: Screen) -> Result<(), CommandError> {
    if screen.json {
        screen.json(run)?;
    }
    let colour = match ExitStatus::of_run(run.state) {
        ExitStatus::Ok => AnsiColor::Green,
        ExitStatus::Changes => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let state = screen.styled(Style::new().bold().fg_color(Some(colour.into())), run.state);
    let summary = run.plan.as_ref().map(|summary| format!(" (plan: {})", plan(summary))).unwrap_or_default();
    screen.note(format_args!("\n{} is {state}{summary}", run.id));
    if let Some(failure) = &run.failure {
        screen.note(briefly(&failed(failure)));
    }
    if let Some(next) = what_next(run) {
        screen.note(next);
    }
    Ok(())
}

/// A failure without the middle of tofu's own words, which stand in the log above; all of it is in `run show`.
fn briefly(failure: &str) -> String {
    let mut lines = failure.lines();
    let first = lines.next().unwrap_or_default();
    match lines.rfind(|line| line.starts_with("hint: ")) {
        Some(hint) => format!("{first}\n{hint}"),
        None => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::briefly;

    #[test]
    fn of_a_failure_its_beginning_and_its_hint_are_told() {
        assert_eq!(briefly("in the step fetch: Error: a\n b\n c\nhint: do"), "in the step fetch: Error: a\nhint: do");
        assert_eq!(briefly("no space"), "no space");
    }
}
