//! What is wrong with settings.
//!
//! Rule: all of it at once, so that nobody starts a service five times to learn of five mistakes.

use std::fmt;

/// Everything that is wrong with settings. Ends the program with exit code 78.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SettingsError {
    /// At least one.
    pub problems: Vec<SettingsProblem>,
}

/// One thing that is wrong with settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsProblem {
    /// Where: `agent.toml:3`, or the name of a setting.
    pub place: String,
    /// What, without a full stop.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl SettingsProblem {
    /// A problem with something that can be done.
    pub fn new(place: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { place: place.into(), message: message.into(), hint: Some(hint.into()) }
    }
}

impl From<SettingsProblem> for SettingsError {
    fn from(problem: SettingsProblem) -> Self {
        Self { problems: vec![problem] }
    }
}

impl SettingsError {
    /// `value` if there is nothing to complain of.
    ///
    /// # Errors
    /// The problems, if there are any.
    pub fn unless_empty<T>(problems: Vec<SettingsProblem>, value: T) -> Result<T, Self> {
        if problems.is_empty() { Ok(value) } else { Err(Self { problems }) }
    }
}

impl fmt::Display for SettingsProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

impl fmt::Display for SettingsError {
    /// One line for each problem, its hint below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
            if let Some(hint) = &problem.hint {
                write!(f, "\nhint: {hint}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for SettingsError {}
