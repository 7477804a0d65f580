//! What the environment of a step is made of.
//!
//! Rule: the run's variables are the same snapshot in every step; what belongs to one step comes from that step, and
//! nothing that leads to a cloud's credentials comes into the fetch step, whoever passes it.

use super::{Run, fetch_home, files, git};
use crate::agent::failure::Stop;
use crate::agent::host::{PLUGIN_CACHE, is_refused_to_operator};
use crate::protocol::api::VariableKind;
use crate::protocol::names;
use crate::protocol::run::Step;
use crate::sandbox::{Base, Environment, Sources};
use crate::secret::Secret;

/// The environment of one start: what every step gets, and `ours` and `passed` besides.
pub(super) fn build(
    run: &Run<'_>,
    step: Step,
    ours: Vec<(String, Secret)>,
    mut passed: Vec<(String, Secret)>,
) -> Result<Environment, Stop> {
    // In this order: what the step itself sets comes last and wins.
    let ours =
        [files::variables(run, step), git::variables(run.directory.path(), step), ours].into_iter().flatten().collect();
    let home = run.host.settings.home.clone().unwrap_or_else(|| fetch_home::of(run, step));
    let temporary = run.directory.temporary();
    let base = Base { path: &run.host.search_path, home: &home, temporary: &temporary };
    passed.extend(duplicates(&run.host.passed));
    let is_mirrored = run.host.takes_from_oci_mirror();
    passed.retain(|(name, _)| step != Step::Fetch || !names::is_after_fetch(name));
    // A provider that is a link into a cache cannot go with the run.
    passed.retain(|(name, _)| !is_mirrored || name != PLUGIN_CACHE);
    Ok(Environment::build(Sources {
        base,
        ours,
        variables: of_kind(run, VariableKind::Env),
        inputs: of_kind(run, VariableKind::Tofu),
        passed,
        is_refused: names::is_refused,
        is_input: names::is_input,
        is_refused_to_operator,
    })?)
}

/// Another holder of the same variables.
pub(super) fn duplicates(variables: &[(String, Secret)]) -> Vec<(String, Secret)> {
    variables.iter().map(|(name, value)| (name.clone(), value.duplicate())).collect()
}

/// The run's variables of a kind. A file's path comes from `files`.
fn of_kind(run: &Run<'_>, kind: VariableKind) -> Vec<(String, Secret)> {
    let variables = run.lease.claim.variables.iter().filter(|variable| variable.kind == kind);
    variables.map(|variable| (variable.name.clone(), variable.value.duplicate())).collect()
}
