//! The only table of exit codes.
//!
//! Rule: every error of a command has its code here, by one exhaustive `match`; systemd's
//! `RestartPreventExitStatus=74 77 78` and scripts rely on them.

use std::process::ExitCode;

use super::error::CommandError;
use crate::client::{ClientError, ErrorKind};
use crate::protocol::run::RunState;

/// How the program ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// Done, drained after a signal, or detached from a run that goes on.
    Ok,
    /// Something failed, or the server does not take a value.
    Failed,
    /// Wrong words on the command line (also clap's code).
    Usage,
    /// The run was canceled or its plan discarded.
    Canceled,
    /// There are changes that were not applied: `plan --detailed-exitcode`, or an apply that waits for approval.
    Changes,
    /// Server, database or registry cannot be reached. systemd restarts.
    Unavailable,
    /// Secret material may remain on this host. systemd does not restart.
    WipeFailed,
    /// The run is lost: a person must look.
    Lost,
    /// Token refused or action denied. systemd does not restart.
    Refused,
    /// Settings are wrong. systemd does not restart.
    Settings,
}

impl ExitStatus {
    /// Every status, in order.
    pub const ALL: &'static [Self] = &[
        Self::Ok,
        Self::Failed,
        Self::Usage,
        Self::Canceled,
        Self::Changes,
        Self::Unavailable,
        Self::WipeFailed,
        Self::Lost,
        Self::Refused,
        Self::Settings,
    ];

    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Canceled => 3,
            Self::Changes => 4,
            Self::Unavailable => 69,
            Self::WipeFailed => 74,
            Self::Lost => 75,
            Self::Refused => 77,
            Self::Settings => 78,
        }
    }

    /// What it means, in a few words.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failed => "failed",
            Self::Usage => "wrong words on the command line",
            Self::Canceled => "canceled or discarded",
            Self::Changes => "changes that were not applied",
            Self::Unavailable => "server, database or registry not reachable",
            Self::WipeFailed => "wipe failed, secrets may remain on this host",
            Self::Lost => "run lost, a person must look",
            Self::Refused => "token refused or action denied",
            Self::Settings => "settings are wrong",
        }
    }

    /// How a command that followed a run to `state` ends.
    pub const fn of_run(state: RunState) -> Self {
        match state {
            RunState::Applied | RunState::PlanFinished | RunState::NoChanges => Self::Ok,
            RunState::AwaitingApproval => Self::Changes,
            RunState::Canceled | RunState::Discarded => Self::Canceled,
            RunState::Lost => Self::Lost,
            RunState::Errored
            | RunState::Pending
            | RunState::Queued
            | RunState::Planning
            | RunState::ApplyQueued
            | RunState::Applying => Self::Failed,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

impl From<&CommandError> for ExitStatus {
    fn from(error: &CommandError) -> Self {
        match error {
            CommandError::Settings(_) | CommandError::SecretFile(_) => Self::Settings,
            CommandError::Usage { .. } | CommandError::NotThere { .. } => Self::Usage,
            CommandError::Client(error) => of_client(error),
            CommandError::Service { status, .. } => *status,
            CommandError::Pack(_)
            | CommandError::Io { .. }
            | CommandError::Json(_)
            | CommandError::Refused { .. }
            | CommandError::Output(_) => Self::Failed,
        }
    }
}

fn of_client(error: &ClientError) -> ExitStatus {
    match error.kind() {
        ErrorKind::Unreachable(_) | ErrorKind::Tls { .. } | ErrorKind::TimedOut | ErrorKind::NotNigari { .. } => {
            ExitStatus::Unavailable
        }
        ErrorKind::Problem(problem) => match problem.status {
            401 | 403 => ExitStatus::Refused,
            502..=504 | 507 => ExitStatus::Unavailable,
            _ => ExitStatus::Failed,
        },
        ErrorKind::Refused(_) => ExitStatus::Settings,
        ErrorKind::Locked(_) | ErrorKind::TooLarge { .. } | ErrorKind::File(_) => ExitStatus::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::ExitStatus;
    use crate::protocol::run::RunState;

    #[test]
    fn codes_are_what_systemd_units_and_scripts_rely_on() {
        let codes: Vec<u8> = ExitStatus::ALL.iter().map(|status| status.code()).collect();
        assert_eq!(codes, [0, 1, 2, 3, 4, 69, 74, 75, 77, 78]);
    }

    #[test]
    fn only_good_ends_of_a_run_are_zero() {
        let good: Vec<RunState> =
            RunState::ALL.iter().copied().filter(|state| ExitStatus::of_run(*state) == ExitStatus::Ok).collect();
        assert_eq!(good, [RunState::Applied, RunState::PlanFinished, RunState::NoChanges]);
        assert_eq!(ExitStatus::of_run(RunState::Lost).code(), 75);
        assert_eq!(ExitStatus::of_run(RunState::Discarded).code(), 3);
    }
}
