//! Where a run stands, and the transitions that take it elsewhere.
//!
//! Rule: a [`Standing`] is consumed by each transition and there is no other way to a new one. An apply whose start was
//! reported never leads back to a state that is dispatched.

use super::step;
use crate::protocol::agent::{Failure, FailureClass, Outcome};
use crate::protocol::api::ResolvedAs;
use crate::protocol::id::BlobId;
use crate::protocol::run::{Phase, RunKind, RunState, Step};

/// Started claims of one phase that may end without a word before the run is taken out (quarantine): a run that kills
/// each agent must not wander through all of them.
pub const TRIES: u32 = 3;

/// What a person wants of a run that an agent has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Wish {
    /// Nothing.
    None,
    /// Let tofu end by itself.
    Cancel,
    /// Do not wait for tofu.
    Kill,
}

impl Wish {
    /// The word for it in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Cancel => "cancel",
            Self::Kill => "kill",
        }
    }
}

/// A text that is no [`Wish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("none of: none, cancel, kill")]
pub struct UnknownWish;

impl std::str::FromStr for Wish {
    type Err = UnknownWish;

    fn from_str(text: &str) -> Result<Self, UnknownWish> {
        [Self::None, Self::Cancel, Self::Kill].into_iter().find(|wish| wish.word() == text).ok_or(UnknownWish)
    }
}

/// Why a run came to its end without an agent's report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// [`TRIES`] started claims in a row ended without a word.
    Quarantine,
    /// A person found that a lost apply was not applied.
    NotApplied,
    /// Its approval was not given: the database was changed.
    NotApproved,
    /// What it is to run with does not open: the database was changed, or another key sealed it.
    Unreadable,
}

/// A text that is no [`Ending`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no ending of a run")]
pub struct UnknownEnding;

impl std::str::FromStr for Ending {
    type Err = UnknownEnding;

    fn from_str(text: &str) -> Result<Self, UnknownEnding> {
        Self::ALL.iter().copied().find(|ending| ending.word() == text).ok_or(UnknownEnding)
    }
}

impl Ending {
    /// Every ending.
    pub const ALL: &'static [Self] = &[Self::Quarantine, Self::NotApplied, Self::NotApproved, Self::Unreadable];

    /// The word for it in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Quarantine => "quarantine",
            Self::NotApplied => "not_applied",
            Self::NotApproved => "not_approved",
            Self::Unreadable => "unreadable",
        }
    }

    /// What people are told. `step` is the last that was reported.
    pub fn failure(self, step: Option<Step>) -> Failure {
        match self {
            Self::Quarantine => Failure {
                class: FailureClass::Infrastructure,
                step,
                message: format!("{TRIES} agents in a row began with this run and were not heard of again"),
                hint: Some("look at the agents' own logs for what ended them, then make a new run".to_owned()),
            },
            Self::NotApproved => Failure {
                class: FailureClass::Internal,
                step: None,
                message:
                    "the run is said to be approved, but nobody approved exactly this: its record in the database \
                          was changed"
                        .to_owned(),
                hint: Some("find out who writes the server's database, then make a new run".to_owned()),
            },
            Self::Unreadable => Failure {
                class: FailureClass::Internal,
                step: None,
                message: "what the run was made of (its kind, auto-apply, configuration and variables) does not open: \
                          it was changed in the database, or sealed with another key"
                    .to_owned(),
                hint: Some(
                    "make a new run; if it happens again, find out who writes the server's database, and whether its \
                     root key is the one from before"
                        .to_owned(),
                ),
            },
            Self::NotApplied => Failure {
                class: FailureClass::LeaseLost,
                step: Some(Step::Apply),
                message: "the agent was not heard of again during the apply; a person found that it was not applied"
                    .to_owned(),
                hint: Some("make a new run".to_owned()),
            },
        }
    }
}

/// Where a run stands: all that decides what may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// What the run is for.
    pub kind: RunKind,
    /// Whether a plan with changes is applied without approval.
    pub auto_apply: bool,
    /// Its state.
    pub state: RunState,
    /// The newest claim's number; 0 before the first.
    pub epoch: i64,
    /// Claims of this phase so far that reported a step.
    pub tries: u32,
    /// The newest claim's last reported step.
    pub last_step: Option<(Phase, Step)>,
    /// The plan's artifact while it is kept, so that another claim can apply it.
    pub artifact: Option<BlobId>,
    /// What a person wants.
    pub wish: Wish,
    /// Set by the transition that ended it so; says what failed, instead of an agent.
    pub ending: Option<Ending>,
}

/// Something that happens to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The workspace is free.
    Promote,
    /// An agent takes the phase.
    Claim,
    /// What was just taken, or is about to be applied at once, must not go on: for this reason.
    Refuse(Ending),
    /// The agent gives the phase back.
    Release,
    /// The agent is about to start a step.
    Report(Phase, Step),
    /// The agent renews its lease.
    Renew,
    /// The lease is over.
    Lapse,
    /// The agent reports the phase's end.
    Finish(Phase, Outcome),
    /// A person approves.
    Approve,
    /// A person throws the plan away.
    Discard,
    /// A person wants it to end.
    Cancel(Wish),
    /// A person says what became of a lost apply.
    Resolve(ResolvedAs),
}

/// An event that the state does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run is `{state}`: {event:?} is not possible{reason}")]
pub struct InvalidTransition {
    /// The state.
    pub state: RunState,
    /// The event.
    pub event: Event,
    /// Why, where the state alone does not say it.
    pub reason: &'static str,
}

impl Standing {
    /// A new run. `occupied`: another run of its workspace is active. Plan-only runs never wait.
    pub fn new(kind: RunKind, auto_apply: bool, occupied: bool) -> Self {
        let waits = occupied && kind != RunKind::Plan;
        Self {
            kind,
            auto_apply: auto_apply && kind != RunKind::Plan,
            state: if waits { RunState::Pending } else { RunState::Queued },
            epoch: 0,
            tries: 0,
            last_step: None,
            artifact: None,
            wish: Wish::None,
            ending: None,
        }
    }

    /// Whether the run occupies its workspace.
    pub fn occupies(&self) -> bool {
        self.kind != RunKind::Plan && self.state.is_active()
    }

    /// The phase that an agent has or could take, or that was lost.
    pub fn phase(&self) -> Option<Phase> {
        match self.state {
            RunState::Queued | RunState::Planning => Some(Phase::Plan),
            RunState::ApplyQueued | RunState::Applying | RunState::Lost => Some(Phase::Apply),
            _ => None,
        }
    }

    /// Whether an agent has it.
    pub fn is_claimed(&self) -> bool {
        matches!(self.state, RunState::Planning | RunState::Applying)
    }

    /// Whether the newest claim has reported the start of its apply.
    pub fn apply_started(&self) -> bool {
        self.last_step == Some((Phase::Apply, Step::Apply))
    }

    /// Whether registry credentials may be released now: in the fetch step. In the apply of a claim that had none, as far
    /// as they are for the whole run, between `init` and `apply`.
    pub fn may_have_credentials(&self) -> bool {
        let fetches = self.state == RunState::Planning && self.last_step == Some((Phase::Plan, Step::Fetch));
        (fetches || self.is_about_to_apply()) && self.wish == Wish::None
    }

    /// Whether the newest claim has an apply before it and has not begun with it.
    pub fn is_about_to_apply(&self) -> bool {
        self.state == RunState::Applying && self.last_step == Some((Phase::Apply, Step::Init))
    }

    /// What follows.
    ///
    /// # Errors
    /// [`InvalidTransition`], when the event is not possible in this state; nothing has changed then.
    pub fn after(self, event: Event) -> Result<Self, InvalidTransition> {
        use RunState as S;
        match (event, self.state) {
            (Event::Promote, S::Pending) => Ok(self.to(S::Queued)),
            (Event::Claim, S::Queued) => Ok(self.claimed(S::Planning)),
            (Event::Claim, S::ApplyQueued) => Ok(self.claimed(S::Applying)),
            (Event::Refuse(ending), S::Planning | S::Applying) => self.refused(ending),
            (Event::Release, S::Planning | S::Applying) => self.released(),
            (Event::Report(phase, step), S::Planning | S::Applying) => self.reported(phase, step),
            (Event::Renew, S::Planning | S::Applying) => Ok(self),
            (Event::Renew, S::Lost) => Ok(self.to(S::Applying)),
            (Event::Lapse, S::Planning | S::Applying) => Ok(self.lapsed()),
            (Event::Finish(Phase::Plan, outcome), S::Planning) => self.planned(outcome),
            (Event::Finish(Phase::Apply, outcome), S::Applying | S::Lost) => self.applied(outcome),
            (Event::Approve, S::AwaitingApproval) => Ok(Self { tries: 0, ..self.to(S::ApplyQueued) }),
            (Event::Discard, S::AwaitingApproval) => Ok(self.to(S::Discarded)),
            (
                Event::Cancel(Wish::Cancel | Wish::Kill),
                S::Pending | S::Queued | S::AwaitingApproval | S::ApplyQueued,
            ) => Ok(self.to(S::Canceled)),
            (Event::Cancel(wish @ (Wish::Cancel | Wish::Kill)), S::Planning | S::Applying) => {
                Ok(Self { wish: self.wish.max(wish), ..self })
            }
            (Event::Resolve(ResolvedAs::Applied), S::Lost) => Ok(self.to(S::Applied)),
            (Event::Resolve(ResolvedAs::NotApplied), S::Lost) => {
                Ok(Self { ending: Some(Ending::NotApplied), ..self.to(S::Errored) })
            }
            _ => Err(self.invalid(event, "")),
        }
    }

    fn to(self, state: RunState) -> Self {
        // What is planned anew will have another artifact, and what has ended needs none.
        let kept = self.artifact.filter(|_| state != RunState::Queued && !state.is_final());
        Self { state, artifact: kept, ..self }
    }

    fn invalid(self, event: Event, reason: &'static str) -> InvalidTransition {
        InvalidTransition { state: self.state, event, reason }
    }

    fn claimed(self, state: RunState) -> Self {
        Self { state, epoch: self.epoch + 1, last_step: None, ..self }
    }

    fn released(self) -> Result<Self, InvalidTransition> {
        if self.last_step.is_some() {
            return Err(self.invalid(Event::Release, ": a step was already reported"));
        }
        let state = match self.state {
            _ if self.wish > Wish::None => RunState::Canceled,
            RunState::Planning => RunState::Queued,
            _ => RunState::ApplyQueued,
        };
        Ok(self.to(state))
    }

    /// No apply was started by it: a started one is never ended from here.
    fn refused(self, ending: Ending) -> Result<Self, InvalidTransition> {
        let of_the_server = match ending {
            Ending::NotApproved => self.state == RunState::Applying && self.last_step.is_none(),
            Ending::Unreadable => !self.apply_started(),
            Ending::Quarantine | Ending::NotApplied => false,
        };
        if !of_the_server {
            return Err(self.invalid(Event::Refuse(ending), ""));
        }
        Ok(Self { ending: Some(ending), ..self.to(RunState::Errored) })
    }

    fn reported(self, phase: Phase, next: Step) -> Result<Self, InvalidTransition> {
        let event = Event::Report(phase, next);
        if self.phase() != Some(phase) {
            return Err(self.invalid(event, ": the step belongs to the other phase"));
        }
        if !step::may_follow(self.last_step, phase, next) {
            return Err(self.invalid(event, ": the step is out of order"));
        }
        if next == Step::Apply && self.wish > Wish::None {
            return Err(self.invalid(event, ": a person has asked to cancel the run"));
        }
        // A claim counts as a try with its first step. One that was given back before has harmed nobody.
        let tries = self.tries + u32::from(self.last_step.is_none());
        Ok(Self { last_step: Some((phase, next)), tries, ..self })
    }

    fn lapsed(self) -> Self {
        if self.apply_started() {
            return self.to(RunState::Lost);
        }
        if self.wish > Wish::None {
            return self.to(RunState::Canceled);
        }
        // Whoever fell silent before the first step may have fallen over the run: its archive, its artifact.
        let tries = self.tries + u32::from(self.last_step.is_none());
        if tries >= TRIES {
            return Self { ending: Some(Ending::Quarantine), tries, ..self.to(RunState::Errored) };
        }
        // With *apply now* the plan exists only on the host that is gone, and nobody has approved it: it is made again,
        // nothing of it was applied.
        let approved = self.state == RunState::Applying && self.artifact.is_some() && !self.auto_apply;
        let state = if approved { RunState::ApplyQueued } else { RunState::Queued };
        Self { tries, ..self.to(state) }
    }

    fn planned(self, outcome: Outcome) -> Result<Self, InvalidTransition> {
        let event = Event::Finish(Phase::Plan, outcome);
        let past_plan = matches!(self.last_step, Some((Phase::Plan, Step::Plan | Step::Show)));
        match outcome {
            Outcome::Planned | Outcome::NoChanges if !past_plan => {
                Err(self.invalid(event, ": the step `plan` was not reported"))
            }
            Outcome::Planned if self.kind == RunKind::Plan => Ok(self.to(RunState::PlanFinished)),
            Outcome::Planned if self.wish > Wish::None => Ok(self.to(RunState::Canceled)),
            Outcome::Planned if self.auto_apply => Ok(self.to(RunState::Applying)),
            Outcome::Planned if self.artifact.is_none() => Err(self.invalid(event, ": no artifact was uploaded")),
            Outcome::Planned => Ok(self.to(RunState::AwaitingApproval)),
            Outcome::NoChanges => Ok(self.to(RunState::NoChanges)),
            Outcome::Failed => Ok(self.to(RunState::Errored)),
            Outcome::Canceled => Ok(self.to(RunState::Canceled)),
            Outcome::Applied => Err(self.invalid(event, ": this was the plan")),
        }
    }

    fn applied(self, outcome: Outcome) -> Result<Self, InvalidTransition> {
        let event = Event::Finish(Phase::Apply, outcome);
        match outcome {
            Outcome::Applied if !self.apply_started() => {
                Err(self.invalid(event, ": the step `apply` was not reported"))
            }
            Outcome::Applied => Ok(self.to(RunState::Applied)),
            Outcome::Failed => Ok(self.to(RunState::Errored)),
            Outcome::Canceled => Ok(self.to(RunState::Canceled)),
            Outcome::Planned | Outcome::NoChanges => Err(self.invalid(event, ": this was the apply")),
        }
    }
}

#[cfg(test)]
mod tests;
