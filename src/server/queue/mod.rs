//! Which state of a run may follow which, who may hold a lease for how long, which step comes when: decisions only.
//!
//! Rule: pure. No clock, no database, no randomness; what it decides on is given to it. `store` loads a [`Standing`],
//! asks here what follows, and writes that back where nothing has changed meanwhile.
//!
//! ```text
//! pending → queued → planning → awaiting_approval → apply_queued → applying → applied
//!             ↑         │  ├─→ plan_finished, no_changes              ↑  │  ├─→ errored, canceled
//!             └─ lapse ─┘  ├─→ errored, canceled                lapse └──┘  └─→ lost → applied, errored, canceled
//!                          └─→ applying (auto-apply, same epoch)
//! ```
//! Besides: what nobody has claimed can be canceled, what awaits approval discarded or canceled; a claim can be given back
//! before its first step; an apply of the same claim that lapsed before it was reported is queued as a plan again; and a
//! lost run is applying again when its own agent renews.

mod lease;
mod standing;
mod step;
mod topic;

pub use lease::{LeaseTerms, SHORTEST_LEASE, Verdict};
pub use standing::{Ending, Event, InvalidTransition, Standing, TRIES, UnknownEnding, UnknownWish, Wish};
pub use topic::{Topic, UnknownTopic};
