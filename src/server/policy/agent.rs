//! What an agent may have: what its claim needs, while its lease is live, and registry secrets in the step `fetch`
//! alone, or for the whole run where that is wanted.

use super::{Direction, Permit, Protected};
use crate::protocol::run::Step;

/// What is known of an agent's claim to a run at the moment of a request, read in the transaction that answers it.
#[derive(Debug, Clone, Copy)]
pub struct AgentLease {
    /// The epoch that the agent says.
    pub presented_epoch: i64,
    /// The run's epoch.
    pub current_epoch: i64,
    /// Whether the claim is this agent's and its lease has not run out.
    pub live: bool,
    /// The step that was reported last under this epoch.
    pub step: Option<Step>,
    /// Whether this is an apply before its start whose workspace wants credentials for the whole run. Which of them permit
    /// that is looked at besides.
    pub whole_run: bool,
}

/// Why an agent does not get something.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReleaseRefused {
    /// Another claim has taken over.
    #[error("epoch {presented} is not the current one; hint: the claim was lost, stop and wipe")]
    StaleEpoch {
        /// What the agent said.
        presented: i64,
    },
    /// The lease ran out or was another agent's.
    #[error("the lease is over; hint: the claim was lost, stop and wipe")]
    LeaseOver,
    /// Credentials are for the step `fetch` alone.
    #[error(
        "registry credentials are released in the step `fetch` alone, and between `init` and `apply` for a workspace that \
         wants them for the whole run; hint: report the step first"
    )]
    NotFetching,
    /// Agents never need this.
    #[error("an agent has no business with this")]
    NotForAgents,
}

impl AgentLease {
    /// Refuses when the claim is no longer this agent's.
    ///
    /// # Errors
    /// [`ReleaseRefused::StaleEpoch`] or [`ReleaseRefused::LeaseOver`].
    pub fn check(&self) -> Result<(), ReleaseRefused> {
        if self.presented_epoch != self.current_epoch {
            return Err(ReleaseRefused::StaleEpoch { presented: self.presented_epoch });
        }
        if self.live { Ok(()) } else { Err(ReleaseRefused::LeaseOver) }
    }

    /// A permit to open what the claim needs.
    ///
    /// # Errors
    /// [`ReleaseRefused`]: the lease is not live, or a registry secret is asked for outside the step `fetch`.
    pub fn open(&self, protected: Protected) -> Result<Permit, ReleaseRefused> {
        self.check()?;
        match protected {
            Protected::RegistrySecret if self.step != Some(Step::Fetch) && !self.whole_run => {
                Err(ReleaseRefused::NotFetching)
            }
            Protected::RegistrySecret
            | Protected::RunVariables
            | Protected::Configuration
            | Protected::Artifact
            | Protected::State
            | Protected::Approval
            // Its data key, to write on.
            | Protected::Log => Ok(Permit::grant(protected, Direction::Open)),
            Protected::Variable | Protected::Report => Err(ReleaseRefused::NotForAgents),
        }
    }

    /// A permit to seal what the claim sends: log, artifact, state.
    ///
    /// # Errors
    /// [`ReleaseRefused`]: the lease is not live, or agents do not write this.
    pub fn seal(&self, protected: Protected) -> Result<Permit, ReleaseRefused> {
        match protected {
            // Refusing a state write would orphan resources: whoever holds the state's lock may, live or not. A report
            // that comes too late is kept as evidence.
            Protected::State | Protected::Report => Ok(Permit::grant(protected, Direction::Seal)),
            Protected::Log | Protected::Artifact => self.check().map(|()| Permit::grant(protected, Direction::Seal)),
            Protected::RegistrySecret
            | Protected::Variable
            | Protected::RunVariables
            | Protected::Configuration
            | Protected::Approval => Err(ReleaseRefused::NotForAgents),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{AgentLease, ReleaseRefused};
    use crate::protocol::run::Step;
    use crate::server::policy::{Direction, Protected};

    fn lease() -> AgentLease {
        AgentLease { presented_epoch: 3, current_epoch: 3, live: true, step: Some(Step::Fetch), whole_run: false }
    }

    #[test]
    fn a_registry_secret_is_released_in_the_step_fetch_alone() {
        let permit = lease().open(Protected::RegistrySecret).unwrap();
        assert!(permit.covers(Protected::RegistrySecret, Direction::Open));
        for step in [None, Some(Step::Init), Some(Step::Plan), Some(Step::Show), Some(Step::Apply)] {
            let refused = AgentLease { step, ..lease() }.open(Protected::RegistrySecret).unwrap_err();
            assert_eq!(refused, ReleaseRefused::NotFetching, "{step:?}");
        }
    }

    #[test]
    fn an_apply_gets_one_only_where_it_is_wanted_for_the_whole_run() {
        let apply = |whole_run| AgentLease { step: None, whole_run, ..lease() }.open(Protected::RegistrySecret);
        assert!(apply(true).unwrap().covers(Protected::RegistrySecret, Direction::Open));
        assert_eq!(apply(false).unwrap_err(), ReleaseRefused::NotFetching);
        let over = AgentLease { live: false, whole_run: true, ..lease() };
        assert_eq!(over.open(Protected::RegistrySecret).unwrap_err(), ReleaseRefused::LeaseOver);
    }

    #[test]
    fn a_stale_epoch_or_a_dead_lease_opens_nothing() {
        for protected in Protected::ALL {
            let stale = AgentLease { presented_epoch: 2, ..lease() };
            assert_eq!(stale.open(*protected).unwrap_err(), ReleaseRefused::StaleEpoch { presented: 2 });
            let over = AgentLease { live: false, ..lease() };
            assert_eq!(over.open(*protected).unwrap_err(), ReleaseRefused::LeaseOver);
        }
    }

    #[test]
    fn a_permit_is_for_one_kind_and_one_direction() {
        let permit = lease().open(Protected::Configuration).unwrap();
        assert!(!permit.covers(Protected::RegistrySecret, Direction::Open));
        assert!(!permit.covers(Protected::Configuration, Direction::Seal));
    }

    #[test]
    fn an_agent_seals_no_secret_and_no_variable() {
        for protected in [Protected::RegistrySecret, Protected::Variable, Protected::RunVariables] {
            assert!(lease().seal(protected).is_err(), "{protected:?}");
        }
    }

    #[test]
    fn a_state_is_sealed_even_after_the_lease() {
        let over = AgentLease { live: false, current_epoch: 9, ..lease() };
        assert!(over.seal(Protected::State).is_ok());
        assert!(over.seal(Protected::Log).is_err());
    }
}
