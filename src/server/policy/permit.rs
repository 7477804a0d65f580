//! The proof that somebody may seal or open something.
//!
//! Rule: no constructor outside `policy`; a permit is for one kind of thing and one direction.

/// What the vault keeps; part of what a ciphertext is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protected {
    /// The secret of a registry integration.
    RegistrySecret,
    /// The value of a workspace's variable.
    Variable,
    /// A run's snapshot of variables.
    RunVariables,
    /// An uploaded configuration.
    Configuration,
    /// A plan's artifact: plan file, lock file, modules.
    Artifact,
    /// A log.
    Log,
    /// A version of a state.
    State,
    /// What an agent reports of a phase's end: tofu's own words may hold anything.
    Report,
    /// A person's approval of a plan.
    Approval,
}

impl Protected {
    /// Every kind.
    pub const ALL: &'static [Self] = &[
        Self::RegistrySecret,
        Self::Variable,
        Self::RunVariables,
        Self::Configuration,
        Self::Artifact,
        Self::Log,
        Self::State,
        Self::Report,
        Self::Approval,
    ];

    /// The word that goes into the ciphertext's context; never change one.
    pub const fn word(self) -> &'static str {
        match self {
            Self::RegistrySecret => "registry_secret",
            Self::Variable => "variable",
            Self::RunVariables => "run_variables",
            Self::Configuration => "configuration",
            Self::Artifact => "artifact",
            Self::Log => "log",
            Self::State => "state",
            Self::Report => "report",
            Self::Approval => "approval",
        }
    }
}

/// Into the vault or out of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Seal.
    Seal,
    /// Open.
    Open,
}

/// The proof that `policy` has allowed one kind of thing to be sealed or opened.
///
/// Neither `Clone` nor `Copy`: each operation is asked for.
#[derive(Debug)]
pub struct Permit {
    protected: Protected,
    direction: Direction,
}

impl Permit {
    pub(super) fn grant(protected: Protected, direction: Direction) -> Self {
        Self { protected, direction }
    }

    /// Whether it allows this.
    pub fn covers(&self, protected: Protected, direction: Direction) -> bool {
        self.protected == protected && self.direction == direction
    }
}
