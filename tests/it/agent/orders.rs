//! Cancel, kill, drain.

use std::time::{Duration, Instant};

use support::child::Signal;

use super::{Scene, Silence, assert_ended, wait_until};

const SLOW: &str = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"sleep 3\"\n  }\n}\n\
                    resource \"terraform_data\" \"b\" {\n  depends_on = [terraform_data.a]\n}\n";

/// A run that fetches from somebody who never answers, with its delivery in place.
fn begin_fetch(scene: &mut Scene, silence: &Silence) -> String {
    let configuration = format!("module \"m\" {{\n  source = \"{}/m.zip\"\n}}\n", silence.url());
    let run = scene.begin(&scene.configuration(&configuration), &[]);
    scene.wait_for_step(&run, "fetch");
    wait_until("the delivery", || scene.has_delivery());
    run
}

#[test]
fn a_canceled_fetch_ends_at_once_and_leaves_nothing() {
    let Some(mut scene) = Scene::start() else { return };
    let silence = Silence::new();
    let run = begin_fetch(&mut scene, &silence);
    let begun = Instant::now();
    scene.stack.run(&["run", "cancel", &run]).unwrap().succeeded().unwrap();
    let shown = scene.wait_for_state(&run, "canceled");
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_ended(&shown, 1, "canceled");
    let shown = scene.stack.run(&["run", "show", &run]).unwrap().succeeded().unwrap();
    assert!(shown.out.contains("(a person canceled)"), "{}", shown.out);
    wait_until("the wipe", || scene.secrets().is_empty() && scene.run_directories().is_empty());
}

#[test]
fn a_fetch_that_a_person_kills_is_told_as_killed() {
    let Some(mut scene) = Scene::start() else { return };
    let silence = Silence::new();
    let run = begin_fetch(&mut scene, &silence);
    scene.stack.run(&["run", "cancel", &run, "--kill"]).unwrap().succeeded().unwrap();
    let shown = scene.wait_for_state(&run, "canceled");
    assert_ended(&shown, 1, "killed");
}

#[test]
fn a_canceled_apply_ends_in_order_and_its_state_is_kept() {
    let Some(mut scene) = Scene::start() else { return };
    let run = scene.begin(&scene.configuration(SLOW), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    std::thread::sleep(Duration::from_secs(1));
    scene.stack.run(&["run", "cancel", &run]).unwrap().succeeded().unwrap();
    scene.wait_for_state(&run, "canceled");
    assert!(scene.log(&run).contains("Interrupt received"), "{}", scene.log(&run));
    // The lock is free and the state readable: another run goes through.
    let said = scene.apply(&scene.configuration(SLOW)).succeeded().unwrap();
    assert!(said.all().contains("Apply complete") || said.all().contains("No changes"), "{}", said.all());
}

#[test]
fn a_drained_agent_finishes_what_runs_and_ends_with_0() {
    let Some(mut scene) = Scene::start() else { return };
    let run = scene.begin(&scene.configuration(SLOW), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    let agent = scene.stack.agent().unwrap();
    agent.signal(Signal::TERM).unwrap();
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(0), "{}", agent.log());
    scene.wait_for_state(&run, "applied");
}

#[test]
fn a_second_signal_interrupts_what_runs() {
    let Some(mut scene) = Scene::start() else { return };
    let silence = Silence::new();
    let run = begin_fetch(&mut scene, &silence);
    let agent = scene.stack.agent().unwrap();
    agent.signal(Signal::TERM).unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(agent.ended().unwrap().is_none(), "{}", agent.log());
    agent.signal(Signal::TERM).unwrap();
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(0), "{}", agent.log());
    assert!(scene.secrets().is_empty());
    let shown = scene.wait_for_state(&run, "errored");
    assert_ended(&shown, 1, "agent_stopped");
}

#[test]
fn a_step_ends_with_its_lease_though_the_server_is_out_of_reach() {
    let Some(mut scene) = Scene::with(&["--lease", "5s"], &[]) else { return };
    let silence = Silence::new();
    let run = begin_fetch(&mut scene, &silence);
    scene.stack.server().unwrap().signal(Signal::STOP).unwrap();
    wait_until("the wipe", || !scene.has_delivery());
    scene.stack.server().unwrap().signal(Signal::CONT).unwrap();
    // Nothing is lost: it is planned again.
    let again = |run: &serde_json::Value| run["steps"].to_string().matches("\"step\":\"fetch\"").count() >= 2;
    scene.wait(&run, "a second try", again);
    scene.stack.run(&["run", "cancel", &run]).unwrap().succeeded().unwrap();
    let shown = scene.wait_for_state(&run, "canceled");
    assert_ended(&shown, 1, "lease_lost");
}
