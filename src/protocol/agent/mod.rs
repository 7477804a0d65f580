//! What agents and the server say. All routes are below [`super::API`]`/agent`.
//!
//! | method, route | request → answer |
//! |---|---|
//! | `POST session` | [`SessionRequest`] → [`SessionAnswer`]; bearer: a join token, or the agent's own identity token |
//! | `POST claims` | [`ClaimRequest`] → 200 [`Claim`] or 204 after the hold; long poll |
//! | `POST claims/{claim}/release` | empty → 204; gives a claimed phase back that has not reported a step |
//! | `GET watch?after=N` | → [`WatchAnswer`]; long poll: cancels and drain |
//! | `POST runs/{run}/renew` | empty → [`RenewAnswer`] |
//! | `GET runs/{run}/configuration` | → the `.tar.gz`, with the digest header |
//! | `POST runs/{run}/steps/{step}` | [`StepReport`] → 204; before the step's process starts |
//! | `POST runs/{run}/credentials` | [`CredentialsRequest`] → [`CredentialsAnswer`]; while the step is `fetch`; for the whole run, in an apply before its start |
//! | `PATCH runs/{run}/log/{phase}` | bytes at the offset header → 204 with the next offset; 409 `log_offset` tells it |
//! | `PUT runs/{run}/artifact` | bytes with the digest header → 204; the plan's artifact |
//! | `GET runs/{run}/artifact` | → bytes with the digest header; only in the phase `apply` |
//! | `GET runs/{run}/state` | → 200 state bytes, or 204 when there is none |
//! | `POST runs/{run}/state?lock=ID` | state bytes → 204; only after the step `apply` was reported |
//! | `POST runs/{run}/state/lock` | [`super::api::StateLock`] → 204, or 423 with the holder's [`super::api::StateLock`] |
//! | `POST runs/{run}/state/unlock` | [`super::api::StateLock`] → 204 |
//! | `POST runs/{run}/kept-state` | [`KeptState`] → 204; a state that tofu could not write is on this host; no epoch |
//! | `POST runs/{run}/finish` | [`Finish`] → [`FinishAnswer`] |
//! | `POST runs/{run}/receipts/{phase}` | [`Receipt`] → 204; of a phase whose agent died; the first one counts |
//!
//! Every other `runs/…` route carries the epoch header. A stale epoch is answered with 409 `stale_epoch`; state writes are
//! the exception: they are accepted from the run that holds the lock. So are late receipts: from who had that epoch.

mod claim;
mod credentials;
mod finish;
mod rescue;
mod session;

pub use claim::{Claim, ClaimRequest, RenewAnswer, RunVariable, StepReport, WatchAnswer};
pub use credentials::{CredentialsAnswer, CredentialsRequest, RegistryCredential, Withheld, WithheldReason};
pub use finish::{
    Failure, FailureClass, Finish, FinishAnswer, NextAction, Outcome, PlanSummary, Receipt, ReceiptEnd, RegistryUse,
    Stay, WholeRun,
};
pub use rescue::KeptState;
pub use session::{SessionAnswer, SessionRequest};
