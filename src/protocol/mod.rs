//! Data on the wire, no I/O: what agent and server ([`agent`]) and people and server ([`api`]) say to each other.
//!
//! Rule: types here only carry. Requests refuse unknown fields (`deny_unknown_fields`), answers tolerate them, so that
//! an older reader survives a newer server. Times are microseconds since the Unix epoch, UTC.

// What agents and the server say.
pub mod agent;
// What people and the server say.
pub mod api;
// The ways in which a credential comes to tofu.
pub mod delivery;
// Typed identifiers.
pub mod id;
// Limits that both sides check.
pub mod limits;
// Names that no one may set in a run's environment.
pub mod names;
// Addresses of registries and their normal form.
pub mod registry_address;
// Runs: kind, phase, step, state.
pub mod run;

/// The version of the agent protocol that this build speaks; negotiated by `/agent/session`.
pub const PROTOCOL: u32 = 1;

/// Where every route begins.
pub const API: &str = "/api/v1";

/// Request header: the epoch of the lease under which an agent speaks. Stale → 409 `stale_epoch`.
pub const EPOCH_HEADER: &str = "nigari-epoch";

/// Header of log and artifact transfers: the byte offset that the body starts at; in answers, the next one wanted.
pub const OFFSET_HEADER: &str = "nigari-offset";

/// Answer header of a log read: `true` when nothing will follow.
pub const COMPLETE_HEADER: &str = "nigari-complete";

/// Header with the lower-case hexadecimal SHA-256 of a body.
pub const DIGEST_HEADER: &str = "nigari-digest";

/// Answer header that names the request in the server's log; the same text is in a problem's `request_id`.
pub const REQUEST_ID_HEADER: &str = "x-request-id";

/// Microseconds since the Unix epoch, UTC.
pub type Timestamp = i64;
