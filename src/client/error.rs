//! What can go wrong between a client and its server.
//!
//! Rule: an error says what was wanted, of which server, what happened, and what a person can do. No URL of a request,
//! no token and no part of an answer's body gets into it, except a problem's own words.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::protocol::api::{Problem, StateLock};
use crate::tls::{CertificateSummary, ConnectFailure};

/// A call that failed.
pub struct ClientError(Box<Particulars>);

/// What is known of a failed call.
struct Particulars {
    operation: String,
    server: String,
    login_hint: &'static str,
    has_ca: bool,
    kind: ErrorKind,
    retry_after: Option<Duration>,
    next_offset: Option<u64>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// The kinds of failures.
#[derive(Debug)]
pub enum ErrorKind {
    /// Nothing was sent, because it cannot be right; says why.
    Refused(String),
    /// No connection, or it broke.
    Unreachable(Option<ConnectFailure>),
    /// The server's certificate or handshake is at fault.
    Tls {
        /// What is wrong.
        failure: ConnectFailure,
        /// The certificate that is presented, if it could be looked at.
        presented: Option<CertificateSummary>,
    },
    /// No answer, or no more of it, in time.
    TimedOut,
    /// The server refused or failed, and says why.
    Problem(Box<Problem>),
    /// The state is locked by somebody else.
    Locked(Box<StateLock>),
    /// Something answers that is not a nigari server.
    NotNigari {
        /// Its HTTP status.
        status: u16,
        /// What it is instead, for people.
        found: String,
    },
    /// The answer is larger than it may be.
    TooLarge {
        /// Bytes.
        limit: u64,
    },
    /// A file on this side cannot be read or written.
    File(std::path::PathBuf),
}

/// What every error of a call has in common.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// What was wanted, to follow «cannot».
    pub(super) operation: String,
    /// Of whom.
    pub(super) server: String,
    /// What to do when the token is not taken.
    pub(super) login_hint: &'static str,
    /// Whether a private authority was given.
    pub(super) has_ca: bool,
}

impl Context {
    /// An error of this call.
    pub(super) fn error(&self, kind: ErrorKind) -> ClientError {
        ClientError(Box::new(Particulars {
            operation: self.operation.clone(),
            server: self.server.clone(),
            login_hint: self.login_hint,
            has_ca: self.has_ca,
            kind,
            retry_after: None,
            next_offset: None,
            source: None,
        }))
    }

    /// An error that reqwest reports, told apart.
    pub(super) fn transport(&self, error: reqwest::Error) -> ClientError {
        let error = error.without_url();
        let kind = match ConnectFailure::find(&error) {
            Some(ConnectFailure::TimedOut) => ErrorKind::TimedOut,
            Some(failure) if failure.is_tls() => ErrorKind::Tls { failure, presented: None },
            Some(failure) => ErrorKind::Unreachable(Some(failure)),
            None if error.is_timeout() => ErrorKind::TimedOut,
            None if error.is_builder() => ErrorKind::Refused("the request cannot be made".to_owned()),
            None => ErrorKind::Unreachable(None),
        };
        self.error(kind).caused_by(error)
    }
}

impl ClientError {
    /// What happened.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// The server's problem, if it gave one.
    pub fn problem(&self) -> Option<&Problem> {
        match &self.0.kind {
            ErrorKind::Problem(problem) => Some(problem),
            _ => None,
        }
    }

    /// Whether the server says that another process has this agent's identity now: no repeat betters that.
    pub fn is_superseded(&self) -> bool {
        self.is_problem("session_superseded")
    }

    /// Whether the server says that it knows no agent of the identity that was shown: none has it now or ever again.
    pub fn is_identity_unknown(&self) -> bool {
        self.is_problem("identity_unknown")
    }

    /// Whether the server gave a problem with this `code`.
    pub fn is_problem(&self, code: &str) -> bool {
        self.problem().is_some_and(|problem| problem.code == code)
    }

    /// The HTTP status of a problem or of a stranger's answer.
    pub fn status(&self) -> Option<u16> {
        match &self.0.kind {
            ErrorKind::Problem(problem) => Some(problem.status),
            ErrorKind::NotNigari { status, .. } => Some(*status),
            ErrorKind::Locked(_) => Some(423),
            _ => None,
        }
    }

    /// Whether the same idempotent call may succeed later without anybody doing anything. An answer of a stranger
    /// counts: proxies show pages while a server restarts.
    pub fn is_retryable(&self) -> bool {
        match &self.0.kind {
            ErrorKind::Unreachable(_) | ErrorKind::TimedOut | ErrorKind::NotNigari { .. } => true,
            ErrorKind::Problem(problem) => matches!(problem.status, 408 | 425 | 429 | 500 | 502 | 503 | 504 | 507),
            _ => false,
        }
    }

    /// How long the server asks to wait before the next try.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The log offset that the server wants next; only with the problem `log_offset`.
    pub(super) fn next_offset(&self) -> Option<u64> {
        self.0.next_offset
    }

    /// What a person can do.
    pub fn hint(&self) -> Option<&str> {
        match &self.0.kind {
            ErrorKind::Problem(problem) => {
                problem.hint.as_deref().or((problem.status == 401).then_some(self.0.login_hint))
            }
            ErrorKind::Unreachable(_) | ErrorKind::TimedOut => {
                Some("is the server running, and are its address and the proxy settings right?")
            }
            ErrorKind::Tls { failure: ConnectFailure::UnknownIssuer, .. } if self.0.has_ca => Some(
                "the authority that was given (`--ca-file`, `ca_file` in settings) is not the one that issued it: give \
                 the right one's certificate",
            ),
            ErrorKind::Tls { failure: ConnectFailure::UnknownIssuer, .. } => {
                Some("give the certificate of the authority with `--ca-file` (`ca_file` in settings)")
            }
            ErrorKind::Tls { failure: ConnectFailure::PlainText, .. } => {
                Some("the server listens without TLS there; is the port right?")
            }
            ErrorKind::Tls { failure: ConnectFailure::WrongName, .. } => {
                Some("use a name that the certificate has, or renew the certificate with this one")
            }
            ErrorKind::Tls { .. } => Some("look at the server's certificate, and at the clocks of both sides"),
            ErrorKind::NotNigari { .. } => {
                Some("check the server's address; a proxy or a login page may be in between")
            }
            _ => None,
        }
    }

    pub(super) fn kind_mut(&mut self) -> &mut ErrorKind {
        &mut self.0.kind
    }

    pub(super) fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    pub(super) fn told(mut self, retry_after: Option<Duration>, next_offset: Option<u64>) -> Self {
        self.0.retry_after = retry_after;
        self.0.next_offset = next_offset;
        self
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(why) => f.write_str(why),
            Self::Unreachable(Some(failure)) => write!(f, "{failure}"),
            Self::Unreachable(None) => f.write_str("the connection failed"),
            Self::Tls { failure, presented } => {
                write!(f, "{failure}")?;
                match presented {
                    Some(seen) => write!(f, " (subject `{}`, issuer `{}`)", seen.subject, seen.issuer),
                    None => Ok(()),
                }
            }
            Self::TimedOut => f.write_str("it did not answer in time"),
            Self::Problem(problem) => f.write_str(problem.detail.as_deref().unwrap_or(&problem.title)),
            Self::Locked(lock) => {
                write!(f, "the state is locked by {} for {} (lock {})", lock.who, lock.operation, lock.id)
            }
            Self::NotNigari { status, found } => {
                write!(f, "what answers is not a nigari server: {found} (status {status})")
            }
            Self::TooLarge { limit } => write!(f, "the answer has more than {limit} bytes"),
            Self::File(path) => write!(f, "cannot use the file {}", path.display()),
        }
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} at {}: {}", self.0.operation, self.0.server, self.0.kind)?;
        match self.hint() {
            Some(hint) => write!(f, "; hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientError")
            .field("operation", &self.0.operation)
            .field("server", &self.0.server)
            .field("kind", &self.0.kind)
            .field("source", &self.0.source)
            .finish()
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_ref().map(|source| &**source as &(dyn Error + 'static))
    }
}
