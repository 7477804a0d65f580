//! Which run is meant, as people say it: by the beginning of its id, or by its workspace.

use std::path::Path;

use serde_json::json;
use support::nigari::Stack;

use super::waits::{alone, detached};

fn says(stack: &Stack, arguments: &[&str], code: i32) -> String {
    let said = stack.run(arguments).unwrap();
    assert_eq!(said.code, Some(code), "{arguments:?}: {}", said.all());
    said.all()
}

fn two_runs(directory: &Path) -> (Stack, String, String) {
    let stack = alone(directory);
    let (first, second) = (detached(&stack, directory), detached(&stack, directory));
    (stack, first, second)
}

#[test]
fn a_run_is_named_by_the_beginning_of_its_id() {
    let directory = tempfile::tempdir().unwrap();
    let (stack, first, second) = two_runs(directory.path());
    let beginning = &first[..first.len() - 1];
    for text in [first.as_str(), beginning, beginning.trim_start_matches("run-")] {
        assert!(says(&stack, &["run", "show", text], 0).contains(&first), "{text}");
    }
    let common = first.bytes().zip(second.bytes()).take_while(|(one, other)| one == other).count();
    let refused = says(&stack, &["run", "cancel", &first[..common]], 2);
    assert!(refused.contains(&first) && refused.contains(&second) && refused.contains("net, pending"), "{refused}");
    let states = [&first, &second].map(|run| stack.json(&["run", "show", run, "--json"]).unwrap());
    assert!(states.iter().all(|run| run["state"] != "canceled"), "an ambiguous word has canceled a run");
    assert!(says(&stack, &["run", "show", "run-fff"], 1).contains("no run begins with `run-fff`"));
}

#[test]
fn the_only_run_of_a_workspace_for_which_it_is_possible_is_meant_and_of_several_none() {
    let directory = tempfile::tempdir().unwrap();
    let (stack, first, second) = two_runs(directory.path());
    for verb in ["approve", "discard"] {
        let refused = says(&stack, &["run", verb, "-w", "net"], 1);
        assert!(refused.contains("has no run that waits for approval"), "{refused}");
    }
    assert!(says(&stack, &["run", "resolve", "-w", "net", "--applied"], 1).contains("has no run that is lost"));
    assert_eq!(stack.json(&["run", "logs", "-w", "net", "--json"]).unwrap(), json!([]));
    assert!(says(&stack, &["run", "show", "-w", "net"], 0).contains(&second), "who looks gets the newest");
    let refused = says(&stack, &["run", "cancel", "-w", "net"], 2);
    assert!(
        refused.contains("has more than one run that could be ended")
            && refused.contains(&first)
            && refused.contains(&second),
        "{refused}"
    );
    let states = [&first, &second].map(|run| stack.json(&["run", "show", run, "--json"]).unwrap());
    assert!(states.iter().all(|run| run["state"] != "canceled"), "one of several was guessed");
    says(&stack, &["run", "cancel", &second], 0);
    assert!(says(&stack, &["run", "cancel", "-w", "net"], 0).contains(&first), "the only one that goes on");
    assert!(says(&stack, &["run", "cancel", "-w", "net"], 1).contains("has no run that could be ended"));
    for verb in ["logs", "approve", "discard", "cancel"] {
        let refused = says(&stack, &["run", verb], 2);
        assert!(refused.contains("which run is not said") && refused.contains("-w WORKSPACE"), "{refused}");
    }
}
