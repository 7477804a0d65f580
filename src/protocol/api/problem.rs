//! Errors of the API: problem details (RFC 9457), media type `application/problem+json`.
//!
//! Rule: `code` is stable and for programs; `title`, `detail` and `hint` are for people. No problem carries a secret.

use serde::{Deserialize, Serialize};

/// What went wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `about:blank`, as the RFC has it where the status says enough.
    #[serde(rename = "type", default = "about_blank")]
    pub kind: String,
    /// A few words; the same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened to this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Stable word for programs: `not_found`, `forbidden`, `unauthorized`, `invalid`, `conflict`, `stale_epoch`,
    /// `log_offset`, `locked`, `too_large`, `unavailable`, `internal`, …
    pub code: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Names the request in the server's log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

fn about_blank() -> String {
    "about:blank".to_owned()
}
