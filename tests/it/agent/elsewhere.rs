//! Approval across claims: what was approved is what is applied, without any registry.

use super::{Scene, Shelf, found, wait_until};

#[test]
fn an_approved_plan_is_applied_by_another_agent_without_the_registry() {
    let (Some(mut shelf), Some(mut scene)) = (Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--export", &shelf.canary.password);
    let run = scene.begin(&scene.configuration(&shelf.main()), &[]);
    scene.wait_for_state(&run, "awaiting_approval");
    // The end of a phase is reported before its directories go.
    wait_until("the wipe", || scene.run_directories().is_empty() && scene.secrets().is_empty());
    shelf.registry.stop().unwrap();
    scene.stack.agent().unwrap().stop().unwrap();
    std::fs::remove_dir_all(scene.stack.directory().join("agent")).unwrap();
    scene.stack.start_agent(&["--name", "another"]).unwrap();
    scene.stack.run(&["run", "approve", &run]).unwrap().succeeded().unwrap();
    let shown = scene.wait_for_state(&run, "applied");
    assert_eq!(found(&shown, "agent_name"), "another");
    assert!(scene.log(&run).contains("hello, you"));
}

#[test]
fn an_apply_waits_for_an_agent_that_can_have_its_path() {
    let Some(mut scene) = Scene::start() else { return };
    let run = scene.begin(&scene.configuration("resource \"terraform_data\" \"a\" {}\n"), &[]);
    scene.wait_for_state(&run, "awaiting_approval");
    scene.stack.agent().unwrap().stop().unwrap();
    let other = scene.stack.directory().join("other-runs").display().to_string();
    let state = scene.stack.directory().join("other-agent").display().to_string();
    let mut elsewhere = scene.other_agent(&[("--run-root", &other), ("--state-dir", &state)]);
    scene.stack.run(&["run", "approve", &run]).unwrap().succeeded().unwrap();
    elsewhere.wait_for_line("session opened", super::SOON).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(3));
    let shown = scene.run(&run);
    assert_eq!(found(&shown, "state"), "apply_queued", "{shown:#}");
    let root = scene.stack.run_root().display().to_string();
    assert!(found(&shown, "waits_for").contains(&root), "{shown:#}");
    assert!(!elsewhere.log().contains("given back"), "{}", elsewhere.log());
    elsewhere.stop().unwrap();
    scene.stack.start_agent(&[]).unwrap();
    scene.wait_for_state(&run, "applied");
}
