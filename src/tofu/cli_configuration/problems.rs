//! What tofu says about its CLI configuration on stderr, before anything else and as plain text even with `-json`.
//!
//! Rule: tofu goes on after an error there, with the host's own logins back in reach, so an error is fatal for us. A
//! mere warning is not.

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problems {
    /// Nothing was said.
    None,
    /// Only warnings; the text, for the log.
    Warnings(String),
    /// At least one error; the text. The step must not go on.
    Errors(String),
}

/// Looks for problems in what a tofu command wrote to its standard error.
pub fn find(stderr: &str) -> Problems {
    todo!("{stderr}")
}
