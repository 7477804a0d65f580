//! What a child gets as its environment.
//!
//! Rule: it starts empty. What nigari sets wins over everything, the run's variables win over what the operator
//! passes, and a name that no one may set is an error instead of being dropped without a word. Names are portable, but
//! for those of input variables: tofu itself reads them, and takes every identifier of its language.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;

use crate::secret::Secret;

/// Longest `NAME=value` that Linux hands to a program, with its NUL (`MAX_ARG_STRLEN`, execve(2)).
const LONGEST_ENTRY: usize = 128 * 1024;

/// All entries together: half of what execve(2) allows with the usual stack limit, so that arguments fit too.
const LARGEST: usize = 1024 * 1024;

/// A child's environment: exactly what it gets. Values are secrets, because many of them are.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Environment(BTreeMap<String, Secret>);

/// Why an environment could not be built. Names the variable, never its value.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// Not a portable name.
    #[error("{name:?} cannot name an environment variable; hint: letters, digits and `_`, not beginning with a digit")]
    Name {
        /// The name.
        name: String,
    },
    /// The same, of somebody else.
    #[error("{name:?}, which {origin} sets, is not a name that can be passed to a program; hint: {}", origin.hint())]
    Unpassable {
        /// The name.
        name: String,
        /// Who wanted to set it.
        origin: Origin,
    },
    /// A name that no one may set.
    #[error(
        "environment variable {name} is set by nigari or dangerous, and cannot be set by {origin}; hint: {}",
        origin.hint()
    )]
    Refused {
        /// The name.
        name: String,
        /// Who wanted to set it.
        origin: Origin,
    },
    /// No program can be given a NUL.
    #[error("value of the environment variable {name} contains a NUL character")]
    Nul {
        /// The name.
        name: String,
    },
    /// Linux takes no longer one.
    #[error("value of the environment variable {name} is longer than {LONGEST_ENTRY} bytes; hint: put it into a file")]
    TooLong {
        /// The name.
        name: String,
    },
    /// Linux takes no more.
    #[error("environment variables are longer than {LARGEST} bytes together; hint: put some into files")]
    TooLarge,
}

/// Who wants to set a variable, other than nigari.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Whoever runs the agent.
    Operator,
    /// A variable of the run.
    Variable,
    /// An input variable of the run's configuration.
    Input,
}

impl Origin {
    fn hint(self) -> &'static str {
        match self {
            Self::Operator => "leave it out of `pass_env` in agent.toml",
            Self::Variable | Self::Input => "`nigari variable unset` removes it, so that runs can go on",
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "the operator",
            Self::Variable => "a variable of the run",
            Self::Input => "an input variable of the run",
        })
    }
}

/// What tofu takes input variables from: this, and then the variable's name.
const INPUT: &str = "TF_VAR_";

/// What is the same for each step of a run.
#[derive(Debug, Clone, Copy)]
pub struct Base<'a> {
    /// `PATH`, fixed.
    pub path: &'a str,
    /// `HOME`; `XDG_CONFIG_HOME`, `XDG_CACHE_HOME`, `XDG_DATA_HOME` and `XDG_STATE_HOME` lie in it.
    pub home: &'a Path,
    /// `TMPDIR` and `XDG_RUNTIME_DIR`: of this run alone.
    pub temporary: &'a Path,
}

impl Base<'_> {
    /// A `PATH` without anything of a user's.
    pub const PATH: &'static str = "/usr/local/bin:/usr/bin:/bin";
}

/// Where a child's environment comes from.
#[derive(Debug)]
pub struct Sources<'a> {
    /// See there.
    pub base: Base<'a>,
    /// What nigari sets for this step (delivery, state, tofu's own); wins over everything.
    pub ours: Vec<(String, Secret)>,
    /// The run's variables.
    pub variables: Vec<(String, Secret)>,
    /// The configuration's input variables, by their own names.
    pub inputs: Vec<(String, Secret)>,
    /// What the operator passes on from the host.
    pub passed: Vec<(String, Secret)>,
    /// Names that the run's variables may not set.
    pub is_refused: fn(&str) -> bool,
    /// What input variables may be called.
    pub is_input: fn(&str) -> bool,
    /// Names that the operator may not pass.
    pub is_refused_to_operator: fn(&str) -> bool,
}

impl Environment {
    /// Nothing at all.
    pub fn new() -> Self {
        Self::default()
    }

    /// Builds it in the order of the rule above.
    pub fn build(sources: Sources<'_>) -> Result<Self, EnvironmentError> {
        let mut environment = Self::new();
        for (name, value) in sources.passed {
            environment.set_foreign(name, value, sources.is_refused_to_operator, Origin::Operator)?;
        }
        for (name, value) in sources.variables {
            environment.set_foreign(name, value, sources.is_refused, Origin::Variable)?;
        }
        for (name, value) in sources.inputs {
            if !(sources.is_input)(&name) {
                return Err(EnvironmentError::Unpassable { name, origin: Origin::Input });
            }
            environment.insert(format!("{INPUT}{name}"), value)?;
        }
        environment.set_base(&sources.base)?;
        for (name, value) in sources.ours {
            environment.set(name, value)?;
        }
        if environment.0.iter().map(|(name, value)| name.len() + value.len() + 2).sum::<usize>() > LARGEST {
            return Err(EnvironmentError::TooLarge);
        }
        Ok(environment)
    }

    /// Sets one variable, whatever it was before.
    pub fn set(&mut self, name: impl Into<String>, value: impl Into<Secret>) -> Result<(), EnvironmentError> {
        let (name, value) = (name.into(), value.into());
        if !is_portable(&name) {
            return Err(EnvironmentError::Name { name });
        }
        self.insert(name, value)
    }

    /// Sets one variable whose name was checked.
    fn insert(&mut self, name: String, value: Secret) -> Result<(), EnvironmentError> {
        // execve(2) takes a name with anything else in it.
        if name.contains(['=', '\0']) {
            return Err(EnvironmentError::Name { name });
        }
        if value.expose().contains('\0') {
            return Err(EnvironmentError::Nul { name });
        }
        if name.len() + value.len() + 2 > LONGEST_ENTRY {
            return Err(EnvironmentError::TooLong { name });
        }
        self.0.insert(name, value);
        Ok(())
    }

    /// Its entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn set_foreign(
        &mut self,
        name: String,
        value: Secret,
        is_refused: fn(&str) -> bool,
        origin: Origin,
    ) -> Result<(), EnvironmentError> {
        if !is_portable(&name) {
            return Err(EnvironmentError::Unpassable { name, origin });
        }
        if is_refused(&name) {
            return Err(EnvironmentError::Refused { name, origin });
        }
        self.set(name, value)
    }

    fn set_base(&mut self, base: &Base<'_>) -> Result<(), EnvironmentError> {
        let home = base.home.display();
        let temporary = base.temporary.display().to_string();
        self.set("PATH", base.path)?;
        self.set("HOME", home.to_string())?;
        self.set("XDG_CONFIG_HOME", format!("{home}/.config"))?;
        self.set("XDG_CACHE_HOME", format!("{home}/.cache"))?;
        self.set("XDG_DATA_HOME", format!("{home}/.local/share"))?;
        self.set("XDG_STATE_HOME", format!("{home}/.local/state"))?;
        self.set("TMPDIR", temporary.clone())?;
        self.set("XDG_RUNTIME_DIR", temporary)?;
        self.set("LANG", "C.UTF-8")?;
        self.set("TZ", "UTC")?;
        self.set("TF_IN_AUTOMATION", "1")?;
        self.set("TF_INPUT", "0")
    }
}

fn is_portable(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{Base, Environment, EnvironmentError, Sources};
    use crate::secret::Secret;

    fn sources<'a>(variables: &[(&str, &str)], passed: &[(&str, &str)]) -> Sources<'a> {
        let own = |list: &[(&str, &str)]| list.iter().map(|(n, v)| ((*n).to_owned(), Secret::from(*v))).collect();
        Sources {
            base: Base { path: Base::PATH, home: Path::new("/run/home"), temporary: Path::new("/run/tmp") },
            ours: vec![("TF_CLI_CONFIG_FILE".into(), "/ours".into())],
            variables: own(variables),
            inputs: Vec::new(),
            passed: own(passed),
            is_refused: |name| name.starts_with("LD_") || name.ends_with("_proxy"),
            is_input: |name| !name.is_empty() && !name.contains(' '),
            is_refused_to_operator: |name| name.starts_with("NIGARI_"),
        }
    }

    fn value(environment: &Environment, name: &str) -> Option<String> {
        environment.iter().find(|(n, _)| *n == name).map(|(_, value)| value.expose().to_owned())
    }

    #[test]
    fn ours_win_over_variables_and_variables_over_the_operators() {
        let built = Environment::build(sources(
            &[("HOME", "/theirs"), ("TF_CLI_CONFIG_FILE", "/theirs"), ("AWS_REGION", "variable")],
            &[("AWS_REGION", "host"), ("AWS_PROFILE", "host")],
        ))
        .unwrap();
        assert_eq!(value(&built, "HOME").unwrap(), "/run/home");
        assert_eq!(value(&built, "TF_CLI_CONFIG_FILE").unwrap(), "/ours");
        assert_eq!(value(&built, "AWS_REGION").unwrap(), "variable");
        assert_eq!(value(&built, "AWS_PROFILE").unwrap(), "host");
        assert_eq!(value(&built, "TF_INPUT").unwrap(), "0");
    }

    #[test]
    fn refused_names_are_errors_that_say_who() {
        let error = Environment::build(sources(&[("LD_PRELOAD", "x")], &[])).unwrap_err();
        assert!(
            error.to_string().contains("LD_PRELOAD") && error.to_string().contains("variable of the run"),
            "{error}"
        );
        assert!(Environment::build(sources(&[], &[("NIGARI_TOKEN", "x")])).is_err());
    }

    #[test]
    fn a_name_that_cannot_be_passed_is_told_from_one_that_no_one_may_set() {
        for (name, words) in [("A-B", "not a name that can be passed"), ("LD_PRELOAD", "set by nigari or dangerous")] {
            let said = Environment::build(sources(&[(name, "x")], &[])).unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("`nigari variable unset`"), "{said}");
            let said = Environment::build(Sources { is_refused_to_operator: |_| true, ..sources(&[], &[(name, "x")]) });
            let said = said.unwrap_err().to_string();
            assert!(said.contains(words) && said.contains("`pass_env`"), "{said}");
        }
    }

    #[test]
    fn input_variables_have_tofus_names_and_no_others() {
        let with = |name: &str| {
            let inputs = vec![(name.to_owned(), Secret::from("x"))];
            Environment::build(Sources { inputs, ..sources(&[("TF_VAR_size", "1")], &[]) })
        };
        for name in ["my-var", "größe", "size", "http_proxy", "LD_PRELOAD"] {
            let built = with(name).unwrap();
            assert_eq!(value(&built, &format!("TF_VAR_{name}")).as_deref(), Some("x"), "{name}");
            assert_eq!(value(&built, name), None, "{name}");
        }
        for name in ["", "a b"] {
            assert!(matches!(with(name), Err(EnvironmentError::Unpassable { .. })), "{name:?}");
        }
        for name in ["a=b", "a\0"] {
            assert!(matches!(with(name), Err(EnvironmentError::Name { .. })), "{name:?}");
        }
        for name in ["TF_VAR_my-var", "TF_VAR_größe"] {
            assert!(Environment::build(sources(&[(name, "x")], &[])).is_err(), "{name}");
        }
    }

    #[test]
    fn names_and_values_that_no_program_can_get_are_refused() {
        let mut environment = Environment::new();
        for name in ["", "1A", "A=B", "A B", "A\0", "Ä", "A\n", "A-B"] {
            assert!(matches!(environment.set(name, "x"), Err(EnvironmentError::Name { .. })), "{name:?}");
        }
        assert!(matches!(environment.set("A", "x\0y"), Err(EnvironmentError::Nul { .. })));
        assert!(matches!(environment.set("A", "x".repeat(131_072)), Err(EnvironmentError::TooLong { .. })));
        environment.set("A", "x".repeat(131_069)).unwrap();
    }

    #[test]
    fn too_many_variables_together_are_refused() {
        let long = "x".repeat(100_000);
        let names: Vec<String> = (0..11).map(|n| format!("A{n}")).collect();
        let many: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), long.as_str())).collect();
        assert_eq!(Environment::build(sources(&many, &[])).unwrap_err(), EnvironmentError::TooLarge);
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", Environment::build(sources(&[("TF_VAR_password", "canary")], &[])).unwrap());
        assert!(shown.contains("TF_VAR_password") && !shown.contains("canary"), "{shown}");
    }
}
