//! Errors of the API as problem details.
//!
//! Rule: one table of codes with their status and title. What the asker can change is said to them with a hint; what
//! they cannot is logged with its whole chain and answered with a code and where to look. Not allowed to see is `not_found`,
//! see but not do is `forbidden`.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::protocol::api::Problem;
use crate::server::policy::{NotAllowed, ReleaseRefused};
use crate::server::store::StoreError;
use crate::server::vault::VaultError;

macro_rules! codes {
    ($($name:ident $word:literal $status:ident $title:literal,)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $(#[doc = $title] $name,)*
        }

        impl Code {
            /// The stable word for programs.
            pub const fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The status that goes with it.
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    Malformed "malformed" BAD_REQUEST "The request cannot be read",
    Unauthorized "unauthorized" UNAUTHORIZED "No valid token",
    SessionSuperseded "session_superseded" UNAUTHORIZED "Another process has this agent's identity",
    IdentityUnknown "identity_unknown" UNAUTHORIZED "No agent has this identity",
    Forbidden "forbidden" FORBIDDEN "Not allowed",
    NotFound "not_found" NOT_FOUND "Not found",
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED "The route does not take this method",
    Conflict "conflict" CONFLICT "In conflict with what is there",
    StaleEpoch "stale_epoch" CONFLICT "The claim was lost",
    LogOffset "log_offset" CONFLICT "Not the next byte of the log",
    ProtocolMismatch "protocol_mismatch" CONFLICT "No common protocol",
    PreconditionFailed "precondition_failed" PRECONDITION_FAILED "Changed meanwhile",
    TooLarge "too_large" PAYLOAD_TOO_LARGE "Too large",
    MediaType "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Another media type is expected",
    Invalid "invalid" UNPROCESSABLE_ENTITY "A value cannot be accepted",
    Locked "locked" LOCKED "Locked",
    Internal "internal" INTERNAL_SERVER_ERROR "Something failed inside the server",
    StorageFull "storage_full" INSUFFICIENT_STORAGE "The server's disk is full",
    Unavailable "unavailable" SERVICE_UNAVAILABLE "Not available now",
}

/// Why a request is not answered with what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Something that the asker can change.
    #[error("{0}")]
    Refused(Refusal),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The vault failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// A fault of ours.
    #[error("{0}")]
    Fault(&'static str),
}

/// What the asker is told.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Kind of problem.
    pub code: Code,
    /// What happened.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
}

/// What stands between an error's message and its hint.
const HINT: &str = "; hint: ";

impl ApiError {
    /// A refusal. What follows `; hint: ` in the text becomes the problem's hint.
    pub fn new(code: Code, text: impl std::fmt::Display) -> Self {
        let text = text.to_string();
        let (detail, hint) = match text.split_once(HINT) {
            Some((detail, hint)) => (detail.to_owned(), Some(hint.to_owned())),
            None => (text, None),
        };
        Self::Refused(Refusal { code, detail, hint })
    }

    /// A value that cannot be accepted, named by its field.
    pub fn invalid(field: &str, text: impl std::fmt::Display) -> Self {
        Self::new(Code::Invalid, format!("`{field}`: {text}"))
    }

    /// There is none, or none that the asker may see.
    pub fn not_found(kind: &str, name: impl std::fmt::Display) -> Self {
        let name: String = name.to_string().chars().filter(|c| !c.is_control()).take(160).collect();
        let hint = match kind {
            "workspace" => "; hint: `nigari workspace list` shows those that there are",
            "agent" => "; hint: `nigari agent list` shows those that there are",
            "registry integration" => "; hint: `nigari registry list` shows those that there are",
            "run" => "; hint: `nigari run list` shows those that there are",
            "variable" => "; hint: `nigari variable list` shows those that there are, each with its kind",
            "token" => "; hint: `nigari token list` shows those that there are (of agents: `--kind join`)",
            _ => "",
        };
        let name = name.replace(HINT, ": ");
        Self::new(Code::NotFound, format!("there is no {kind} `{name}`{hint}"))
    }

    /// The server is about to end; another one may be there in a moment.
    pub fn ending() -> Self {
        Self::new(Code::Unavailable, "the server is ending; hint: try again in a few seconds")
    }

    /// Its kind of problem.
    pub fn code(&self) -> Code {
        match self {
            Self::Refused(refusal) => refusal.code,
            Self::Store(error) if error.is_full() => Code::StorageFull,
            Self::Store(error) if error.is_unavailable() => Code::Unavailable,
            Self::Store(error) if error.is_nul() => Code::Invalid,
            Self::Store(_) | Self::Vault(_) | Self::Fault(_) => Code::Internal,
        }
    }
}

impl From<NotAllowed> for ApiError {
    fn from(error: NotAllowed) -> Self {
        Self::new(Code::Forbidden, error)
    }
}

impl From<ReleaseRefused> for ApiError {
    fn from(error: ReleaseRefused) -> Self {
        let code = match error {
            ReleaseRefused::StaleEpoch { .. } | ReleaseRefused::LeaseOver => Code::StaleEpoch,
            ReleaseRefused::NotFetching => Code::Conflict,
            ReleaseRefused::NotForAgents => Code::Forbidden,
        };
        Self::new(code, error)
    }
}

impl IntoResponse for ApiError {
    /// Leaves the problem in the response's extensions; `request` adds the request's id and writes the body.
    fn into_response(self) -> Response {
        let code = self.code();
        let (detail, hint) = match self {
            Self::Refused(refusal) => (Some(refusal.detail), refusal.hint),
            Self::Store(error) if error.is_nul() => {
                (Some("a text contains a NUL".to_owned()), Some("leave it out".to_owned()))
            }
            error => {
                tracing::error!(error = %chain(&error), "a request failed");
                let hint = match code {
                    Code::Unavailable => "try again in a few seconds",
                    Code::StorageFull => "free space where the server keeps its database; it goes on by itself then",
                    _ => "see the server's log, which has this request's id",
                };
                (None, Some(hint.to_owned()))
            }
        };
        let problem = Problem {
            kind: "about:blank".to_owned(),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail,
            code: code.word().to_owned(),
            hint,
            request_id: None,
        };
        let mut response = code.status().into_response();
        response.extensions_mut().insert(problem);
        response
    }
}

/// An error with all that is behind it, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}
