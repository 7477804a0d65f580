//! How a process ended.

use std::fmt;

use rustix::process::WaitIdStatus;
use serde::{Deserialize, Serialize};

/// How a process ended: by itself, or by a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// It ended by itself with this code.
    Code(i32),
    /// It died by this signal (`9` is SIGKILL).
    Signal(i32),
}

impl ExitReason {
    /// Whether it ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code that a shell would show: the child's own, or 128 + the signal.
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }

    /// Reads the kernel's answer to `waitid`; `None` as long as the process lives.
    pub(crate) fn of(status: &WaitIdStatus) -> Option<Self> {
        status.exit_status().map(Self::Code).or_else(|| status.terminating_signal().map(Self::Signal))
    }
}

impl fmt::Display for ExitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "signal {signal}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ExitReason;

    #[test]
    fn shell_code_of_a_signal_is_128_more() {
        assert_eq!(ExitReason::Signal(9).shell_code(), 137);
        assert_eq!(ExitReason::Code(3).shell_code(), 3);
    }

    #[test]
    fn only_code_zero_is_success() {
        assert!(ExitReason::Code(0).is_success());
        assert!(!ExitReason::Code(1).is_success());
        assert!(!ExitReason::Signal(0).is_success());
    }
}
