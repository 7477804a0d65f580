//! How a process is made to end: interrupt, grace, a second interrupt, grace, kill of the tree.
//!
//! Rule: an interrupt goes to the one process, never to its group: providers must not get it. This is the plan of it
//! alone, without a clock and without a process, so that launcher and `capture` can drive it.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// Why something is ended before its time. A later one outranks an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelReason {
    /// The run took longer than its settings allow.
    RunTimeout,
    /// A person asked for it.
    UserCancel,
    /// The lease was lost, and with it the right to go on.
    LeaseLost,
    /// The agent is shutting down and its drain limit is over.
    Drain,
    /// The agent was told a second time.
    SecondSignal,
}

/// How long each interrupt may take to work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grace {
    /// Between the first interrupt and the second.
    pub first: Duration,
    /// Between the second interrupt and the kill.
    pub second: Duration,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Force {
    /// SIGINT to the one process.
    Interrupt,
    /// SIGKILL to all of the tree.
    Kill,
}

/// A running escalation: says what is due, and when to look again.
#[derive(Debug, Clone, Copy)]
pub struct Escalation {
    grace: Grace,
    stage: Stage,
    due: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    FirstInterrupt,
    SecondInterrupt,
    Kill,
    Over,
}

impl Escalation {
    /// Begins: the first interrupt is due at once.
    pub fn begin(grace: Grace, now: Instant) -> Self {
        Self { grace, stage: Stage::FirstInterrupt, due: now }
    }

    /// When [`Self::due`] has something next; `None` after the kill.
    pub fn deadline(&self) -> Option<Instant> {
        match self.stage {
            Stage::Over => None,
            Stage::FirstInterrupt | Stage::SecondInterrupt | Stage::Kill => Some(self.due),
        }
    }

    /// What is due at `now`. Each force is given once.
    pub fn due(&mut self, now: Instant) -> Option<Force> {
        if now < self.due {
            return None;
        }
        match self.stage {
            Stage::FirstInterrupt => {
                self.stage = Stage::SecondInterrupt;
                self.due = now + self.grace.first;
                Some(Force::Interrupt)
            }
            Stage::SecondInterrupt => {
                self.stage = Stage::Kill;
                self.due = now + self.grace.second;
                Some(Force::Interrupt)
            }
            Stage::Kill => {
                self.stage = Stage::Over;
                Some(Force::Kill)
            }
            Stage::Over => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CancelReason, Escalation, Force, Grace};

    #[test]
    fn two_interrupts_come_before_the_kill_and_each_comes_once() {
        let start = Instant::now();
        let grace = Grace { first: Duration::from_secs(10), second: Duration::from_secs(5) };
        let mut escalation = Escalation::begin(grace, start);
        assert_eq!(escalation.due(start), Some(Force::Interrupt));
        assert_eq!(escalation.due(start + Duration::from_secs(9)), None);
        assert_eq!(escalation.deadline(), Some(start + Duration::from_secs(10)));
        assert_eq!(escalation.due(start + Duration::from_secs(10)), Some(Force::Interrupt));
        assert_eq!(escalation.due(start + Duration::from_secs(14)), None);
        assert_eq!(escalation.due(start + Duration::from_secs(15)), Some(Force::Kill));
        assert_eq!(escalation.due(start + Duration::from_mins(1)), None);
        assert_eq!(escalation.deadline(), None);
    }

    #[test]
    fn a_later_reason_outranks_an_earlier_one() {
        assert!(CancelReason::RunTimeout < CancelReason::UserCancel);
        assert!(CancelReason::LeaseLost < CancelReason::SecondSignal);
    }
}
