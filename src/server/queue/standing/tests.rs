//! Every state × every event against a table, then random histories against the invariants.

use proptest::prelude::*;

use super::{Ending, Event, Standing, TRIES, Wish};
use crate::protocol::agent::Outcome;
use crate::protocol::api::ResolvedAs;
use crate::protocol::id::BlobId;
use crate::protocol::run::{Phase, RunKind, RunState, Step};

const OUTCOMES: [Outcome; 5] =
    [Outcome::Planned, Outcome::NoChanges, Outcome::Applied, Outcome::Failed, Outcome::Canceled];

fn every_event() -> Vec<Event> {
    let mut events = vec![
        Event::Promote,
        Event::Claim,
        Event::Release,
        Event::Refuse(Ending::NotApproved),
        Event::Refuse(Ending::Unreadable),
        Event::Refuse(Ending::Quarantine),
        Event::Renew,
        Event::Lapse,
        Event::Approve,
        Event::Discard,
        Event::Cancel(Wish::None),
        Event::Cancel(Wish::Cancel),
        Event::Cancel(Wish::Kill),
        Event::Resolve(ResolvedAs::Applied),
        Event::Resolve(ResolvedAs::NotApplied),
    ];
    for &phase in Phase::ALL {
        events.extend(Step::ALL.iter().map(|&step| Event::Report(phase, step)));
        events.extend(OUTCOMES.map(|outcome| Event::Finish(phase, outcome)));
    }
    events
}

/// A run of kind `apply` in this state, in the middle of its phase, with an artifact, no auto-apply.
fn standing(state: RunState) -> Standing {
    let last_step = match state {
        RunState::Planning => Some((Phase::Plan, Step::Plan)),
        RunState::Applying | RunState::Lost | RunState::Applied => Some((Phase::Apply, Step::Apply)),
        _ => None,
    };
    let new = Standing::new(RunKind::Apply, false, false);
    Standing { state, epoch: 1, tries: 1, last_step, artifact: Some(BlobId::generate()), ..new }
}

/// The whole table for [`standing`]: what is not here is refused.
#[expect(clippy::match_same_arms, reason = "a table, by the state that it begins in")]
fn expected(state: RunState, event: Event) -> Option<RunState> {
    use {Event as E, RunState as S};
    let next = match (state, event) {
        (S::Pending, E::Promote) => S::Queued,
        (S::Pending | S::Queued | S::AwaitingApproval | S::ApplyQueued, E::Cancel(Wish::Cancel | Wish::Kill)) => {
            S::Canceled
        }
        (S::Queued, E::Claim) => S::Planning,
        (S::Planning, E::Report(Phase::Plan, Step::Show) | E::Renew | E::Cancel(Wish::Cancel | Wish::Kill)) => {
            S::Planning
        }
        (S::Planning, E::Lapse) => S::Queued,
        (S::Planning, E::Refuse(Ending::Unreadable)) => S::Errored,
        (S::Planning, E::Finish(Phase::Plan, Outcome::Planned)) => S::AwaitingApproval,
        (S::Planning, E::Finish(Phase::Plan, Outcome::NoChanges)) => S::NoChanges,
        (S::Planning, E::Finish(Phase::Plan, Outcome::Failed)) => S::Errored,
        (S::Planning, E::Finish(Phase::Plan, Outcome::Canceled)) => S::Canceled,
        (S::AwaitingApproval, E::Approve) => S::ApplyQueued,
        (S::AwaitingApproval, E::Discard) => S::Discarded,
        (S::ApplyQueued, E::Claim) => S::Applying,
        (S::Applying, E::Renew | E::Cancel(Wish::Cancel | Wish::Kill)) => S::Applying,
        (S::Applying, E::Lapse) => S::Lost,
        (S::Applying | S::Lost, E::Finish(Phase::Apply, Outcome::Applied)) => S::Applied,
        (S::Applying | S::Lost, E::Finish(Phase::Apply, Outcome::Failed)) => S::Errored,
        (S::Applying | S::Lost, E::Finish(Phase::Apply, Outcome::Canceled)) => S::Canceled,
        (S::Lost, E::Renew) => S::Applying,
        (S::Lost, E::Resolve(ResolvedAs::Applied)) => S::Applied,
        (S::Lost, E::Resolve(ResolvedAs::NotApplied)) => S::Errored,
        _ => return None,
    };
    Some(next)
}

#[test]
fn every_state_answers_every_event_as_the_table_says() {
    for &state in RunState::ALL {
        for event in every_event() {
            let got = standing(state).after(event).ok().map(|next| next.state);
            assert_eq!(got, expected(state, event), "{state} {event:?}");
        }
    }
}

fn after(mut standing: Standing, events: &[Event]) -> Standing {
    for &event in events {
        standing = standing.after(event).unwrap();
    }
    standing
}

const PLANNED: [Event; 4] = [
    Event::Claim,
    Event::Report(Phase::Plan, Step::Fetch),
    Event::Report(Phase::Plan, Step::Init),
    Event::Report(Phase::Plan, Step::Plan),
];

#[test]
fn auto_apply_goes_on_with_the_same_epoch() {
    let run = after(Standing::new(RunKind::Apply, true, false), &PLANNED);
    let run = after(run, &[Event::Finish(Phase::Plan, Outcome::Planned)]);
    assert_eq!((run.state, run.epoch), (RunState::Applying, 1));
    assert_eq!(run.after(Event::Lapse).unwrap().state, RunState::Queued, "the plan is on the lost host");
    assert!(run.after(Event::Release).is_err());
    let run = after(run, &[Event::Report(Phase::Apply, Step::Apply), Event::Lapse]);
    assert_eq!(run.state, RunState::Lost);
}

#[test]
fn a_plan_without_artifact_cannot_wait_for_approval() {
    let run = after(Standing::new(RunKind::Apply, false, false), &PLANNED);
    assert!(run.after(Event::Finish(Phase::Plan, Outcome::Planned)).is_err());
}

#[test]
fn a_plan_only_run_is_never_applied() {
    let run = after(Standing::new(RunKind::Plan, true, true), &PLANNED);
    assert_eq!(run.after(Event::Finish(Phase::Plan, Outcome::Planned)).unwrap().state, RunState::PlanFinished);
    assert!(!run.occupies());
}

#[test]
fn three_started_claims_without_a_word_are_quarantined() {
    const STARTED: [Event; 3] = [Event::Claim, Event::Report(Phase::Plan, Step::Fetch), Event::Lapse];
    let mut run = Standing::new(RunKind::Apply, false, false);
    for _ in 1..TRIES {
        run = after(run, &STARTED);
        assert_eq!(run.state, RunState::Queued);
    }
    run = after(run, &[Event::Claim, Event::Release]);
    assert_eq!(run.state, RunState::Queued, "a released claim is no try");
    run = after(run, &STARTED);
    assert_eq!((run.state, run.ending), (RunState::Errored, Some(Ending::Quarantine)));
}

#[test]
fn three_claims_that_fell_silent_before_a_step_are_quarantined_too() {
    let mut plan = Standing::new(RunKind::Apply, false, false);
    for _ in 0..TRIES {
        plan = after(plan, &[Event::Claim, Event::Lapse]);
    }
    assert_eq!((plan.state, plan.ending), (RunState::Errored, Some(Ending::Quarantine)));
    let mut apply = Standing { tries: 0, ..standing(RunState::ApplyQueued) };
    for _ in 0..TRIES {
        apply = after(apply, &[Event::Claim, Event::Lapse]);
    }
    assert_eq!((apply.state, apply.ending), (RunState::Errored, Some(Ending::Quarantine)), "an artifact can kill too");
}

#[test]
fn an_unreported_apply_is_queued_again() {
    let run =
        Standing { artifact: Some(BlobId::generate()), ..after(Standing::new(RunKind::Apply, false, false), &PLANNED) };
    let run = after(run, &[Event::Finish(Phase::Plan, Outcome::Planned), Event::Approve, Event::Claim]);
    let run = after(run, &[Event::Report(Phase::Apply, Step::Init), Event::Lapse]);
    assert_eq!(run.state, RunState::ApplyQueued);
}

#[test]
fn an_apply_is_not_started_after_a_cancel() {
    let run = Standing { last_step: Some((Phase::Apply, Step::Init)), ..standing(RunState::Applying) };
    let run = after(run, &[Event::Cancel(Wish::Cancel)]);
    let refusal = run.after(Event::Report(Phase::Apply, Step::Apply)).unwrap_err().to_string();
    assert!(refusal.contains("cancel"), "{refusal}");
    assert_eq!(run.after(Event::Lapse).unwrap().state, RunState::Canceled);
}

#[test]
fn a_kill_is_never_softened() {
    let run = after(standing(RunState::Planning), &[Event::Cancel(Wish::Kill), Event::Cancel(Wish::Cancel)]);
    assert_eq!(run.wish, Wish::Kill);
}

/// What a history must have seen at each point.
#[derive(Default)]
struct Watched {
    approvals: u32,
    apply_starts: u32,
    started: bool,
}

impl Watched {
    fn check(&mut self, before: Standing, event: Event, after: Standing) -> Result<(), TestCaseError> {
        prop_assert!(after.epoch >= before.epoch, "the epoch never decreases");
        prop_assert_eq!(after.epoch > before.epoch, event == Event::Claim, "only a claim raises it");
        prop_assert!(!before.state.is_final(), "a final state is final");
        if event == Event::Approve || (before.state, after.state) == (RunState::Planning, RunState::Applying) {
            self.approvals += 1;
        }
        if event == Event::Report(Phase::Apply, Step::Apply) {
            self.apply_starts += 1;
            self.started = true;
            prop_assert!(before.wish == Wish::None);
        }
        prop_assert!(self.apply_starts <= self.approvals, "at most one apply start per approval");
        prop_assert!(self.apply_starts <= 1, "an apply is started at most once");
        if self.started {
            let dispatched = matches!(after.state, RunState::Queued | RunState::ApplyQueued | RunState::Planning);
            prop_assert!(!dispatched, "a started apply is never dispatched again");
        }
        if after.may_have_credentials() {
            let steps = [(Phase::Plan, Step::Fetch), (Phase::Apply, Step::Init)];
            prop_assert!(after.is_claimed() && after.last_step.is_some_and(|last| steps.contains(&last)));
        }
        prop_assert!(after.kind != RunKind::Plan || self.apply_starts == 0);
        prop_assert!(after.tries <= TRIES);
        if matches!(after.state, RunState::Queued) || after.state.is_final() {
            prop_assert!(after.artifact.is_none(), "no artifact of an earlier plan");
        }
        Ok(())
    }
}

fn is_end(run: Standing, event: Event) -> bool {
    matches!(event, Event::Cancel(_) | Event::Resolve(_) | Event::Refuse(_))
        || run.after(event).is_ok_and(|next| next.state.is_final())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn random_histories_keep_the_invariants(
        kind in prop::sample::select(RunKind::ALL),
        auto in any::<bool>(),
        occupied in any::<bool>(),
        choices in prop::collection::vec((0usize..10_000, any::<bool>(), prop::bool::weighted(0.06)), 1..80),
    ) {
        let mut run = Standing::new(kind, auto, occupied);
        let mut watched = Watched::default();
        for (choice, uploads, ends) in choices {
            if uploads && run.state == RunState::Planning {
                run.artifact = Some(BlobId::generate());
            }
            let all: Vec<_> = every_event().into_iter().filter(|&event| run.after(event).is_ok()).collect();
            if all.is_empty() {
                prop_assert!(run.state.is_final(), "{:?} is stuck", run);
                break;
            }
            // Ends are rare, or hardly any history would come as far as an apply.
            let on: Vec<_> = all.iter().copied().filter(|&event| ends || !is_end(run, event)).collect();
            let possible = if on.is_empty() { all } else { on };
            let event = possible[choice % possible.len()];
            let next = run.after(event).unwrap();
            watched.check(run, event, next)?;
            run = next;
        }
    }
}
