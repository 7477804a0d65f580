//! What the environment of a step is made of.
//!
//! Rule: the run's variables are the same snapshot in every step; what belongs to one step comes from that step. What
//! git reads is ours in every step: `tofu get` starts it, and a configuration file of git's can start anything.

use std::path::Path;

use super::Run;
use crate::agent::failure::Stop;
use crate::agent::host::is_refused_to_operator;
use crate::protocol::agent::RunVariable;
use crate::protocol::api::VariableKind;
use crate::protocol::names;
use crate::sandbox::{Base, Environment, Sources};
use crate::secret::Secret;

/// The environment of one start: what every step gets, and `ours` and `passed` besides.
pub(super) fn build(
    run: &Run<'_>,
    mut ours: Vec<(String, Secret)>,
    mut passed: Vec<(String, Secret)>,
) -> Result<Environment, Stop> {
    ours.extend(git(run.directory.path()));
    let home = run.host.settings.home.clone().unwrap_or_else(|| run.directory.home());
    let temporary = run.directory.temporary();
    let base = Base { path: &run.host.search_path, home: &home, temporary: &temporary };
    passed.extend(duplicates(&run.host.passed));
    Ok(Environment::build(Sources {
        base,
        ours,
        variables: run.lease.claim.variables.iter().map(entry).collect(),
        passed,
        is_refused: names::is_refused,
        is_refused_to_operator,
    })?)
}

/// What git must do, whatever its files say.
const GIT_SETTINGS: [(&str, &str); 4] = [
    // A repository is one that is named, not one that an upload makes of the directory where git happens to start.
    ("safe.bareRepository", "explicit"),
    // `ext::` is a command line.
    ("protocol.ext.allow", "never"),
    ("core.hooksPath", "/dev/null"),
    ("core.fsmonitor", "false"),
];

/// Variables that keep git from every file but the repository that it is told to fetch, and from asking anybody
/// (git(1), git-config(1)). ssh finds keys and known hosts of the agent's user, or the agent socket that is passed.
fn git(run_directory: &Path) -> Vec<(String, Secret)> {
    let ceiling = run_directory.parent().unwrap_or(run_directory).display().to_string();
    let mut variables = vec![
        ("GIT_CONFIG_NOSYSTEM".to_owned(), Secret::from("1")),
        ("GIT_CONFIG_GLOBAL".to_owned(), Secret::from("/dev/null")),
        ("GIT_ATTR_NOSYSTEM".to_owned(), Secret::from("1")),
        ("GIT_CEILING_DIRECTORIES".to_owned(), Secret::new(ceiling)),
        ("GIT_TERMINAL_PROMPT".to_owned(), Secret::from("0")),
        ("GIT_ASKPASS".to_owned(), Secret::from("/bin/false")),
        ("GIT_SSH_COMMAND".to_owned(), Secret::from("ssh -F /dev/null -o BatchMode=yes")),
        ("GIT_CONFIG_COUNT".to_owned(), Secret::new(GIT_SETTINGS.len().to_string())),
    ];
    for (number, (name, value)) in GIT_SETTINGS.into_iter().enumerate() {
        variables.push((format!("GIT_CONFIG_KEY_{number}"), Secret::from(name)));
        variables.push((format!("GIT_CONFIG_VALUE_{number}"), Secret::from(value)));
    }
    variables
}

/// Another holder of the same variables.
pub(super) fn duplicates(variables: &[(String, Secret)]) -> Vec<(String, Secret)> {
    variables.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
}

fn entry(variable: &RunVariable) -> (String, Secret) {
    let name = match variable.kind {
        VariableKind::Env => variable.name.clone(),
        VariableKind::Tofu => format!("TF_VAR_{}", variable.name),
    };
    (name, variable.value.duplicate())
}
