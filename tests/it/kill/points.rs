//! The fail points, as the source has them.

use std::collections::BTreeMap;

use nigari::sandbox::Sandbox;

use crate::source::{Kind, Source};

/// In the macro's own documentation.
const PATTERN: &str = "process.what.happened";

/// Every fail point, with the files that have it.
pub(super) fn all() -> BTreeMap<String, Vec<String>> {
    let mut points: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in Source::all(&["src"]) {
        for tokens in source.tokens.windows(4) {
            let is_call = tokens[0].word() == Some("failpoint") && tokens[1].is('!') && tokens[2].is('(');
            if let (true, Kind::Text(name)) = (is_call, &tokens[3].kind)
                && name != PATTERN
            {
                points.entry(name.clone()).or_default().push(source.path.display().to_string());
            }
        }
    }
    points
}

/// Whether a step in this sandbox comes there at all.
pub(super) fn is_in(point: &str, sandbox: Sandbox) -> bool {
    let only_namespace = point.starts_with("init.") || point.starts_with("launcher.init.");
    let only_process = point.starts_with("launcher.secrets.");
    match sandbox {
        Sandbox::Namespace => !only_process,
        Sandbox::Process => !only_namespace,
    }
}

/// Whether an agent comes there before it takes a run.
pub(super) fn is_at_start(point: &str) -> bool {
    matches!(
        point,
        "agent.roots.remembered"
            | "agent.private.locked"
            | "agent.prepared"
            | "agent.swept"
            | "agent.session.opened"
            | "agent.sweep.locked"
            | "agent.rescue.copied"
            | "agent.sweep.removed"
    )
}

/// Whether it is reached after an apply that was killed alone, by the agent that comes then.
pub(super) fn is_after_apply(point: &str) -> bool {
    matches!(point, "agent.sweep.rescued" | "agent.sweep.reporting")
}

/// Whether it is reached when a step has just begun, so that the step may be one that does not end by itself.
pub(super) fn is_while_a_step_begins(point: &str) -> bool {
    matches!(
        point,
        "step.spawned"
            | "init.begun"
            | "init.started.said"
            | "launcher.init.answered"
            | "launcher.begun"
            | "launcher.started.said"
            | "agent.step.started"
    )
}

#[test]
fn there_are_at_least_forty_and_each_is_in_one_place() {
    let points = all();
    assert!(points.len() >= 40, "{}", points.len());
    let twice: Vec<_> = points.iter().filter(|(_, places)| places.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let sides = |side: &str| points.keys().filter(|point| point.starts_with(side)).count();
    assert!(sides("agent.") >= 30 && sides("launcher.") >= 10 && sides("init.") >= 5 && sides("wipe.") >= 4);
}
