//! What goes wrong while an agent only waits for what still runs.

use std::fs;

use support::child::Signal;

use super::{Scene, wait_until};

#[test]
fn an_agent_that_is_sent_away_while_it_drains_lets_its_apply_end_and_keeps_the_state() {
    let Some(mut scene) = Scene::start() else { return };
    let main = "resource \"terraform_data\" \"made\" {}\nresource \"terraform_data\" \"slow\" {\n  \
                depends_on = [terraform_data.made]\n  provisioner \"local-exec\" {\n    command = \"sleep 20\"\n  }\n}\n";
    let run = scene.begin(&scene.configuration(main), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    // tofu, its provisioner's shell, and what that has started.
    wait_until("the slow resource", || scene.processes().len() >= 2);
    scene.stack.agent().unwrap().signal(Signal::TERM).unwrap();
    let copy = scene.place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(scene.stack.directory().join("agent/identity"), copy.join("identity")).unwrap();
    let mut copied = scene.other_agent(&[("--state-dir", &copy.display().to_string())]);
    let older = scene.stack.agent().unwrap();
    let code = older.wait(super::SOON).unwrap().code();
    assert!(scene.processes().is_empty(), "the agent did not wait for its apply");
    let log = scene.stack.agent().unwrap().log();
    assert_eq!(code, Some(77), "{log}");
    // The server does not take it from this agent any more, so it is on the host: tofu was interrupted, not killed.
    let kept: Vec<_> = fs::read_dir(scene.stack.directory().join("agent/rescued")).unwrap().flatten().collect();
    assert_eq!(kept.len(), 1, "{log}");
    assert!(fs::read_to_string(kept[0].path()).unwrap().contains("\"made\""));
    copied.stop().unwrap();
}
