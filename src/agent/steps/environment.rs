//! What the environment of a step is made of.
//!
//! Rule: the run's variables are the same snapshot in every step; what belongs to one step comes from that step.

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
    ours: Vec<(String, Secret)>,
    mut passed: Vec<(String, Secret)>,
) -> Result<Environment, Stop> {
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
