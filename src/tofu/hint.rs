//! From what a failed step printed to what a person can do.
//!
//! Rule: a hint names hosts, paths and names of integrations, never a value; without a pattern that was seen with
//! the real program there is no hint.

/// A registry integration whose credential the run did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// The integration's name.
    pub integration: String,
    /// `host[:port]`.
    pub registry_host: String,
    /// Path prefix, empty for the whole host.
    pub path: String,
    /// Why it was withheld.
    pub reason: WithheldReason,
}

/// Why a credential was withheld.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithheldReason {
    /// *Export credentials* is off.
    ExportOff,
    /// The integration is disabled.
    Disabled,
    /// The workspace is not in the integration's scope.
    OutOfScope,
}

/// What is known about the run's credentials.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Registry hosts whose credentials were delivered.
    pub delivered: &'a [String],
    /// What was withheld.
    pub withheld: &'a [Withheld],
}

/// A sentence that says what to do, if the failed step's output (its end is enough; colours may be in it) shows why.
pub fn find(output: &str, known: Known<'_>) -> Option<String> {
    todo!("{output} {known:?}")
}
