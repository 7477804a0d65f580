//! Runs: their kinds, phases, steps and states, by the design's words.
//!
//! Rule: the words here are the ones in API, database, logs and messages. Which state may follow which is decided in
//! `server::queue`, not here.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident $word:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word for it on the wire, in the database and in messages.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        impl FromStr for $name {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord { text: text.chars().take(80).collect(), expected: &[$($word,)*] }),
                }
            }
        }
    )*};
}

/// A word that is none of those expected.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{text}` is none of: {}", expected.join(", "))]
pub struct UnknownWord {
    text: String,
    expected: &'static [&'static str],
}

words! {
    /// What a run is for.
    RunKind {
        /// Plan only, without taking the state's lock; nothing is ever applied.
        Plan "plan",
        /// Plan, approval, apply.
        Apply "apply",
        /// Plan the destruction of everything, approval, apply.
        Destroy "destroy",
    }

    /// The halves of a run; each is claimed on its own, unless auto-apply lets one claim go on.
    Phase {
        /// fetch, init, plan, show.
        Plan "plan",
        /// init, apply.
        Apply "apply",
    }

    /// What a phase consists of; each is reported before its process starts.
    Step {
        /// `tofu get` (or `init -backend=false` where providers come from an OCI mirror) with the delivery: the only step
        /// during which a registry credential exists, unless it is permitted and wanted for the whole run.
        Fetch "fetch",
        /// `tofu init`, without registry credentials.
        Init "init",
        /// `tofu plan`.
        Plan "plan",
        /// `tofu show -json` of the plan.
        Show "show",
        /// `tofu apply` of the saved plan. Its report is the write-ahead mark: from then on the apply is never
        /// dispatched again.
        Apply "apply",
    }

    /// Where a run stands.
    RunState {
        /// Waits for another run of its workspace.
        Pending "pending",
        /// Waits for an agent to plan it.
        Queued "queued",
        /// An agent plans it.
        Planning "planning",
        /// Planned, with changes; waits for a person.
        AwaitingApproval "awaiting_approval",
        /// Approved; waits for an agent to apply it.
        ApplyQueued "apply_queued",
        /// An agent applies it.
        Applying "applying",
        /// Applied. Final.
        Applied "applied",
        /// A plan-only run's plan is there. Final.
        PlanFinished "plan_finished",
        /// The plan has nothing to do. Final.
        NoChanges "no_changes",
        /// Failed; `failure` says how. Final.
        Errored "errored",
        /// Canceled by a person. Final.
        Canceled "canceled",
        /// The plan was thrown away by a person. Final.
        Discarded "discarded",
        /// The agent vanished after the apply had started: nobody knows what was done. Ends by the agent's late
        /// report or a person's `run resolve`.
        Lost "lost",
    }
}

impl RunState {
    /// Whether nothing will happen any more by itself or by an agent (`lost` still takes a report or a decision).
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Applied | Self::PlanFinished | Self::NoChanges | Self::Errored | Self::Canceled | Self::Discarded
        )
    }

    /// Whether the run occupies its workspace (plan-only runs never do).
    pub const fn is_active(self) -> bool {
        !self.is_final() && !matches!(self, Self::Pending)
    }
}

#[cfg(test)]
mod tests {
    use super::{RunState, Step};

    #[test]
    fn words_are_what_serde_says() {
        for state in RunState::ALL {
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
            assert_eq!(state.word().parse::<RunState>().as_ref(), Ok(state));
        }
    }

    #[test]
    fn an_unknown_word_is_told_what_there_is() {
        let message = "deploy".parse::<Step>().unwrap_err().to_string();
        assert!(message.contains("fetch, init, plan, show, apply"), "{message}");
    }
}
