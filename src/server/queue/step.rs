//! Which step may follow which within one claim.
//!
//! Rule: `fetch` < `init` < `plan` < `show` in the phase `plan`; `init` < `apply` in the phase `apply`. Nothing comes
//! twice. A claim that goes on with *apply now* may leave out the second `init`: it has just planned there.

use crate::protocol::run::{Phase, Step};

/// Whether `next` may be reported when `last` was the last report of this claim.
pub(super) fn may_follow(last: Option<(Phase, Step)>, phase: Phase, next: Step) -> bool {
    let Some(last) = last else {
        // A configuration without anything to fetch may begin with `init`.
        return matches!((phase, next), (Phase::Plan, Step::Fetch) | (_, Step::Init));
    };
    match (phase, last) {
        (Phase::Plan, (Phase::Plan, Step::Fetch)) => next == Step::Init,
        (Phase::Plan, (Phase::Plan, Step::Init)) => next == Step::Plan,
        (Phase::Plan, (Phase::Plan, Step::Plan)) => next == Step::Show,
        (Phase::Apply, (Phase::Plan, Step::Plan | Step::Show)) => matches!(next, Step::Init | Step::Apply),
        (Phase::Apply, (Phase::Apply, Step::Init)) => next == Step::Apply,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::may_follow;
    use crate::protocol::run::{Phase, Step};

    fn accepted(steps: &[(Phase, Step)]) -> bool {
        let mut last = None;
        steps.iter().all(|&(phase, step)| {
            let fine = may_follow(last, phase, step);
            last = Some((phase, step));
            fine
        })
    }

    #[test]
    fn the_three_orders_are_accepted() {
        use {Phase::Apply as A, Phase::Plan as P, Step as S};
        assert!(accepted(&[(P, S::Fetch), (P, S::Init), (P, S::Plan), (P, S::Show)]));
        assert!(accepted(&[(A, S::Init), (A, S::Apply)]));
        assert!(accepted(&[(P, S::Fetch), (P, S::Init), (P, S::Plan), (P, S::Show), (A, S::Apply)]));
    }

    #[test]
    fn no_step_of_a_phase_comes_twice_or_backwards() {
        for &phase in Phase::ALL {
            for &last in Step::ALL {
                for &next in Step::ALL {
                    let fine = may_follow(Some((phase, last)), phase, next);
                    assert!(!fine || next > last, "{phase}: {last} then {next}");
                }
            }
        }
    }

    #[test]
    fn an_apply_never_begins_with_the_apply_itself() {
        assert!(!may_follow(None, Phase::Apply, Step::Apply));
        assert!(!may_follow(Some((Phase::Plan, Step::Fetch)), Phase::Apply, Step::Apply));
        assert!(!may_follow(Some((Phase::Apply, Step::Apply)), Phase::Apply, Step::Apply));
    }
}
