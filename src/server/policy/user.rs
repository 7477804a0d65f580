//! What a person or program with a user token may do.
//!
//! Rule: a registry integration's secret is never opened for a user, whatever the role; the server opens it for a
//! connection test on a user's wish, and shows the verdict alone.

use std::str::FromStr;

use super::{Direction, Permission, Permit, Protected};

/// A set of permissions with a name. The only one until later is `admin`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: &'static [Self] = &[Self::Admin];

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Admin => "admin",
        }
    }

    /// Whether the role has the permission.
    pub const fn has(self, _permission: Permission) -> bool {
        match self {
            Self::Admin => true,
        }
    }

    /// Refuses what the role has not.
    ///
    /// # Errors
    /// [`NotAllowed`] names the permission.
    pub fn allow(self, permission: Permission) -> Result<(), NotAllowed> {
        if self.has(permission) { Ok(()) } else { Err(NotAllowed { permission }) }
    }

    /// A permit to seal what a user has sent.
    ///
    /// # Errors
    /// [`NotAllowed`], when the role lacks the permission that sealing it takes.
    pub fn seal(self, protected: Protected) -> Result<Permit, NotAllowed> {
        self.allow(match protected {
            Protected::RegistrySecret => Permission::RegistryIntegrationWrite,
            Protected::Variable => Permission::VariableWrite,
            Protected::Configuration => Permission::ConfigurationUpload,
            Protected::State => Permission::StateWrite,
            Protected::RunVariables | Protected::Artifact | Protected::Log | Protected::Report => Permission::RunCreate,
            Protected::Approval => Permission::RunApprove,
        })?;
        Ok(Permit::grant(protected, Direction::Seal))
    }

    /// A permit to open what a user wants to see, or what their action needs (a snapshot of variables for a run, a
    /// connection test).
    ///
    /// # Errors
    /// [`NotAllowed`], when the role lacks the permission that opening it takes.
    pub fn open(self, protected: Protected) -> Result<Permit, NotAllowed> {
        self.allow(match protected {
            Protected::RegistrySecret => Permission::RegistryIntegrationTest,
            Protected::Variable => Permission::VariableRead,
            Protected::RunVariables
            | Protected::Configuration
            | Protected::Artifact
            | Protected::Report
            | Protected::Approval => Permission::RunRead,
            Protected::Log => Permission::LogRead,
            Protected::State => Permission::StateRead,
        })?;
        Ok(Permit::grant(protected, Direction::Open))
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        Self::ALL.iter().copied().find(|role| role.word() == text).ok_or(UnknownRole)
    }
}

/// A word that is no role.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no such role; hint: `admin` is the only one")]
pub struct UnknownRole;

/// The role lacks a permission.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the token's role lacks `{permission}`; hint: ask somebody with the role `admin`")]
pub struct NotAllowed {
    /// Which.
    pub permission: Permission,
}
