//! Why a phase ended before its end, in the words that the server and people get.
//!
//! Rule: every error of a run becomes a class here: it says who has to act. No message carries a secret.

use std::error::Error;
use std::fmt::Write as _;
use std::io;

use super::error::REMOVE_BY_HAND;
use super::operator::OperatorError;
use crate::client::{ClientError, ErrorKind};
use crate::configuration::ArchiveError;
use crate::delivery::DeliveryError;
use crate::gateway::GatewayError;
use crate::gateway::broker::BrokerError;
use crate::protocol::agent::{Failure, FailureClass, ReceiptEnd};
use crate::protocol::run::Step;
use crate::sandbox::{EnvironmentError, StepError};
use crate::tofu::backend::BackendError;
use crate::tofu::cli_configuration::CliConfigurationError;
use crate::tofu::modules::ModulesError;

/// What stands between an error's message and its hint.
const HINT: &str = "; hint: ";

/// Sentences that a failure repeats of what was seen beside its step.
const FAULTS: usize = 20;

/// Why a phase goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something failed.
    Failed(Failure),
    /// A person asked, or insisted.
    Canceled {
        /// Whether it was killed.
        killed: bool,
    },
    /// It was ended from outside, and not by a person: the lease, the agent, the launcher.
    Ended(ReceiptEnd, Failure),
    /// Secrets may remain on this host: the run fails and the agent ends.
    SecretsRemain(Failure),
}

impl Stop {
    pub(crate) fn configuration(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Failed(failure(FailureClass::Configuration, message, hint))
    }

    pub(crate) fn infrastructure(message: impl Into<String>, hint: Option<String>) -> Self {
        Self::Failed(failure(FailureClass::Infrastructure, message, hint))
    }

    pub(crate) fn lease_lost() -> Self {
        let message = "the lease was lost: the server was out of reach for too long, or gave the run to another agent";
        Self::Ended(ReceiptEnd::LeaseLost, failure(FailureClass::LeaseLost, message, None))
    }

    pub(crate) fn agent_stopped() -> Self {
        let message = "the agent was told to end before the run was over";
        Self::Ended(ReceiptEnd::AgentStopped, failure(FailureClass::Infrastructure, message, None))
    }

    /// The launcher died, and what it had started with it.
    pub(crate) fn crashed(message: impl Into<String>) -> Self {
        Self::Ended(ReceiptEnd::Crashed, failure(FailureClass::Infrastructure, message, None))
    }

    /// How a receipt calls it.
    pub(crate) fn end(&self) -> ReceiptEnd {
        match self {
            Self::Failed(_) | Self::SecretsRemain(_) => ReceiptEnd::StepFailed,
            Self::Canceled { killed: false } => ReceiptEnd::Canceled,
            Self::Canceled { killed: true } => ReceiptEnd::Killed,
            Self::Ended(end, _) => *end,
        }
    }

    /// Something that the host could not do to a file or directory.
    pub(crate) fn io(doing: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::infrastructure(format!("{doing}: {error}"), no_space(error))
    }

    /// The same, with what was seen beside the step: tofu often shows a status alone.
    pub(crate) fn because(mut self, faults: &[String]) -> Self {
        if let (Self::Failed(failure) | Self::Ended(_, failure), false) = (&mut self, faults.is_empty()) {
            let (shown, more) = faults.split_at(faults.len().min(FAULTS));
            failure.message = format!("{}\nbroker: {}", failure.message.trim_end(), shown.join("\nbroker: "));
            if !more.is_empty() {
                let _ = write!(failure.message, "\nbroker: and {} more, which are in the agent's log", more.len());
            }
        }
        self
    }

    /// The same, during that step.
    pub(crate) fn during(mut self, step: Step) -> Self {
        if let Self::Failed(failure) | Self::Ended(_, failure) | Self::SecretsRemain(failure) = &mut self {
            failure.step.get_or_insert(step);
        }
        self
    }
}

pub(crate) fn failure(class: FailureClass, message: impl Into<String>, hint: Option<String>) -> Failure {
    Failure { class, step: None, message: message.into(), hint }
}

/// A failure in one sentence, with what to do.
pub(crate) fn with_hint(failure: &Failure) -> String {
    match &failure.hint {
        Some(hint) => format!("{}{HINT}{hint}", failure.message),
        None => failure.message.clone(),
    }
}

/// An error with everything below it.
pub(crate) fn describe(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(source) = below {
        let more = source.to_string();
        // Transparent errors say the same twice.
        if !text.ends_with(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        below = source.source();
    }
    text
}

/// What to do when the disk is the reason, wherever it stands below the error.
fn no_space(error: &(dyn Error + 'static)) -> Option<String> {
    let mut below = Some(error);
    while let Some(current) = below {
        let kind = current.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return Some(
                "free space below the agent's run_root, or move it; nothing was changed by this run".to_owned(),
            );
        }
        below = current.source();
    }
    None
}

impl From<ClientError> for Stop {
    fn from(error: ClientError) -> Self {
        if error.is_problem("stale_epoch") {
            return Self::lease_lost();
        }
        let class = match error.kind() {
            ErrorKind::Problem(problem) if problem.status < 500 => FailureClass::Internal,
            _ => FailureClass::Infrastructure,
        };
        let hint = no_space(&error).or_else(|| error.hint().map(str::to_owned));
        Self::Failed(failure(class, describe(&error), hint))
    }
}

impl From<ArchiveError> for Stop {
    fn from(error: ArchiveError) -> Self {
        match no_space(&error) {
            Some(hint) => Self::infrastructure(describe(&error), Some(hint)),
            None => Self::configuration(describe(&error), error.hint()),
        }
    }
}

impl From<BackendError> for Stop {
    fn from(error: BackendError) -> Self {
        match no_space(&error) {
            Some(hint) => Self::infrastructure(describe(&error), Some(hint)),
            None => Self::configuration(describe(&error), error.hint()),
        }
    }
}

impl From<ModulesError> for Stop {
    fn from(error: ModulesError) -> Self {
        Self::configuration(describe(&error), error.hint())
    }
}

impl From<DeliveryError> for Stop {
    fn from(error: DeliveryError) -> Self {
        let class = match &error {
            DeliveryError::ColonInUser { .. } | DeliveryError::Broker(BrokerError::Unusable(_)) => {
                FailureClass::Credentials
            }
            DeliveryError::Program(_)
            | DeliveryError::Socket(_)
            | DeliveryError::Roots(_)
            | DeliveryError::CliConfiguration(_)
            | DeliveryError::Broker(_)
            | DeliveryError::OutOfReach(_) => FailureClass::Infrastructure,
        };
        Self::Failed(failure(class, describe(&error), None))
    }
}

impl From<CliConfigurationError> for Stop {
    fn from(error: CliConfigurationError) -> Self {
        Self::infrastructure(describe(&error), error.hint())
    }
}

impl From<OperatorError> for Stop {
    fn from(error: OperatorError) -> Self {
        Self::infrastructure(describe(&error), error.hint())
    }
}

impl From<GatewayError> for Stop {
    fn from(error: GatewayError) -> Self {
        Self::infrastructure(describe(&error), None)
    }
}

impl From<EnvironmentError> for Stop {
    fn from(error: EnvironmentError) -> Self {
        Self::configuration(describe(&error), None)
    }
}

impl From<StepError> for Stop {
    fn from(error: StepError) -> Self {
        match &error {
            StepError::WipeUnverified { .. } => {
                let text = describe(&error);
                let (message, hint) = text.split_once(HINT).unwrap_or((&text, REMOVE_BY_HAND));
                Self::SecretsRemain(failure(FailureClass::WipeFailed, message, Some(hint.to_owned())))
            }
            StepError::LauncherLost | StepError::LauncherHung { .. } => Self::crashed(describe(&error)),
            _ => Self::infrastructure(describe(&error), no_space(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::{REMOVE_BY_HAND, Stop, describe, failure as failure_of, with_hint};
    use crate::agent::AgentError;
    use crate::protocol::agent::{FailureClass, ReceiptEnd};
    use crate::sandbox::StepError;

    #[test]
    fn a_receipt_tells_a_person_from_a_lease_an_agent_and_a_launcher() {
        for (stop, end) in [
            (Stop::Canceled { killed: false }, ReceiptEnd::Canceled),
            (Stop::Canceled { killed: true }, ReceiptEnd::Killed),
            (Stop::lease_lost(), ReceiptEnd::LeaseLost),
            (Stop::agent_stopped(), ReceiptEnd::AgentStopped),
            (Stop::from(StepError::LauncherLost), ReceiptEnd::Crashed),
            (Stop::configuration("no", None), ReceiptEnd::StepFailed),
        ] {
            assert_eq!(stop.end(), end, "{stop:?}");
        }
    }

    #[test]
    fn a_full_disk_is_the_operators_business_and_says_what_to_do() {
        let Stop::Failed(failure) = Stop::io("cannot unpack", &io::ErrorKind::StorageFull.into()) else { panic!() };
        assert_eq!(failure.class, FailureClass::Infrastructure);
        assert!(failure.hint.unwrap().contains("run_root"));
    }

    #[test]
    fn a_failure_repeats_some_of_what_was_seen_beside_its_step() {
        let faults: Vec<String> = (0..30).map(|number| format!("fault {number}")).collect();
        let because = |count: usize| {
            let Stop::Failed(failure) = Stop::configuration("tofu says no\n", None).because(&faults[..count]) else {
                panic!()
            };
            failure.message
        };
        assert_eq!(because(0), "tofu says no\n");
        assert_eq!(because(2), "tofu says no\nbroker: fault 0\nbroker: fault 1");
        assert!(because(30).ends_with("\nbroker: fault 19\nbroker: and 10 more, which are in the agent's log"));
    }

    #[test]
    fn an_unverified_wipe_is_told_from_every_other_failure() {
        let error = StepError::WipeUnverified { directory: "/dev/shm/x".into(), detail: "busy".into(), exit: None };
        let Stop::SecretsRemain(failure) = Stop::from(error) else { panic!() };
        // The run, the agent's last word and the next start say the same.
        assert_eq!(failure.message, "secret directory /dev/shm/x may still hold secrets: busy");
        assert_eq!(failure.hint.as_deref(), Some(REMOVE_BY_HAND));
        let ending = AgentError::SecretsRemain(with_hint(&failure));
        assert_eq!(ending.to_string().matches("hint: ").count(), 1);
        let stuck = failure_of(FailureClass::WipeFailed, "stuck", Some("look for state D".into()));
        assert!(AgentError::SecretsRemain(with_hint(&stuck)).to_string().ends_with("stuck; hint: look for state D"));
        assert!(matches!(Stop::from(StepError::LauncherLost), Stop::Ended(ReceiptEnd::Crashed, _)));
    }

    #[test]
    fn an_error_is_told_with_what_is_below_it_and_nothing_twice() {
        let error = StepError::OpenProgram { program: "/x".into(), source: io::ErrorKind::NotFound.into() };
        assert_eq!(describe(&error), "cannot open the launcher's program /x: entity not found");
    }
}
