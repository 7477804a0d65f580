//! The agent dies by SIGKILL, in each step: no secret stays, nothing is lost, nothing is done twice.

use std::time::Duration;

use nigari::process::tree;
use rustix::process::{Pid, kill_process};
use support::child::Signal;

use super::{Scene, Shelf, Silence, assert_ended, found, receipt_of, wait_until};

/// Configurations that wait in this step for ever, or long enough.
fn waiting_in(step: &str, silence: &Silence) -> String {
    let url = silence.url();
    match step {
        "fetch" => format!("module \"m\" {{\n  source = \"{url}/m.zip\"\n}}\n"),
        "init" => format!("terraform {{\n  backend \"http\" {{\n    address = \"{url}\"\n  }}\n}}\n"),
        "plan" => format!(
            "data \"terraform_remote_state\" \"r\" {{\n  backend = \"http\"\n  config = {{ address = \"{url}\" }}\n}}\n"
        ),
        _ => panic!("{step}"),
    }
}

#[test]
fn an_agent_that_is_killed_before_the_apply_leaves_nothing_and_the_run_is_planned_again() {
    for step in ["fetch", "init", "plan"] {
        let Some(mut scene) = Scene::with(&["--lease", "5s"], &["--step-grace", "2s"]) else { return };
        let silence = Silence::new();
        let run = scene.begin(&scene.configuration(&waiting_in(step, &silence)), &["--auto-approve"]);
        scene.wait_for_step(&run, step);
        if step == "fetch" {
            wait_until("the delivery", || scene.has_delivery());
        }
        std::thread::sleep(Duration::from_millis(300));
        scene.stack.agent().unwrap().kill().unwrap();
        if step == "fetch" {
            // By its launcher, without any agent.
            wait_until("the wipe", || !scene.has_delivery());
        }
        scene.stack.start_agent(&["--step-grace", "2s"]).unwrap();
        let again =
            |run: &serde_json::Value| run["steps"].to_string().matches(&format!("\"step\":\"{step}\"")).count() >= 2;
        scene.wait(&run, "a second try", again);
        scene.stack.run(&["run", "cancel", &run]).unwrap().succeeded().unwrap();
        scene.wait(&run, "the end", |run| ["canceled", "errored"].contains(&found(run, "state").as_str()));
        let left = || scene.run_directories().len() + scene.secrets().len();
        wait_until(&format!("the sweep after {step}"), || left() == 0);
        let shown = scene.wait(&run, "the first claim's receipt", |run| receipt_of(run, 1).is_some());
        // Of what was over before the death, its own end is told.
        assert_ended(&shown, 1, if step == "fetch" { "swept" } else { "step_over" });
    }
}

/// A run that waits in its fetch step, with the credential of a registry.
fn fetching() -> Option<(Shelf, Scene, String, Silence)> {
    let (shelf, mut scene) = (Shelf::start()?, Scene::start()?);
    shelf.store(&scene, "--export", &shelf.canary.password);
    let silence = Silence::new();
    let run = scene.begin(&scene.configuration(&format!("{}{}", shelf.main(), waiting_in("fetch", &silence))), &[]);
    scene.wait_for_step(&run, "fetch");
    wait_until("the process", || !scene.processes().is_empty());
    Some((shelf, scene, run, silence))
}

#[test]
fn the_receipt_of_an_agent_that_was_killed_in_the_fetch_step_names_what_was_there() {
    let Some((shelf, mut scene, run, _silence)) = fetching() else { return };
    scene.stack.agent().unwrap().kill().unwrap();
    // While the claim is still this agent's: the receipt comes, and the run waits for its lease to end.
    scene.stack.start_agent(&[]).unwrap();
    let shown = scene.wait(&run, "the receipt", |run| receipt_of(run, 1).is_some());
    assert_ended(&shown, 1, "swept");
    let receipt = receipt_of(&shown, 1).unwrap();
    assert_eq!((&receipt["hosts"][0], &receipt["delivery"]), (&shelf.registry.host().into(), &"helper".into()));
    assert!(receipt["verified_by"].as_str().unwrap().contains("looked again"), "{receipt:#}");
    // When it was over is when it was swept, which the dead agent could not say.
    assert_ne!(receipt["ended_at"], receipt["began_at"], "{receipt:#}");
    let shown = scene.stack.run(&["run", "show", &run]).unwrap().succeeded().unwrap();
    assert!(shown.out.contains("(the agent died, and the next one swept)"), "{}", shown.out);
    // What the dead agent had counted is gone with it: nothing is claimed of it.
    assert!(shown.out.contains("is not known: the agent died") && !shown.out.contains("not used"), "{}", shown.out);
    let notes = scene.stack.directory().join("agent/receipts");
    wait_until("the note's end", || std::fs::read_dir(&notes).unwrap().count() == 0);
}

#[test]
fn a_receipt_that_could_not_be_sent_comes_once_the_server_is_back() {
    let Some((shelf, mut scene, run, silence)) = fetching() else { return };
    scene.stack.server().unwrap().kill().unwrap();
    drop(silence);
    // As long as the agent tries to report the end of a phase, and its log.
    let agent = scene.stack.agent().unwrap();
    agent.wait_for_line("the end of a phase could not be reported", Duration::from_mins(5)).unwrap();
    scene.stack.start_server(&[]).unwrap();
    // By the same agent, which goes on with the run meanwhile.
    let shown = scene.wait(&run, "the receipt", |run| receipt_of(run, 1).is_some());
    assert_ended(&shown, 1, "step_failed");
    let receipt = receipt_of(&shown, 1).unwrap();
    assert_eq!((&receipt["hosts"][0], &receipt["wiped"]), (&shelf.registry.host().into(), &true.into()), "{receipt:#}");
    let notes = scene.stack.directory().join("agent/receipts");
    let of_first = |name: &std::ffi::OsStr| name.to_string_lossy().contains(&format!("{run}.1."));
    wait_until("the note's end", || {
        !std::fs::read_dir(&notes).unwrap().flatten().any(|entry| of_first(&entry.file_name()))
    });
}

#[test]
fn a_launcher_that_is_killed_in_the_fetch_step_is_named_in_the_receipt() {
    let Some(mut scene) = Scene::start() else { return };
    let silence = Silence::new();
    let run = scene.begin(&scene.configuration(&waiting_in("fetch", &silence)), &[]);
    scene.wait_for_step(&run, "fetch");
    wait_until("the process", || !scene.processes().is_empty());
    let agent = Pid::from_raw(scene.stack.agent().unwrap().pid().try_into().unwrap()).unwrap();
    let is_launcher = |process: &tree::Process| {
        let line = std::fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0).any(|word| word == b"__launcher")
    };
    let launcher = tree::descendants(agent).into_iter().find(is_launcher).unwrap();
    kill_process(launcher.pid, Signal::KILL).unwrap();
    let shown = scene.wait_for_state(&run, "errored");
    assert_ended(&shown, 1, "crashed");
}

#[test]
fn an_agent_that_is_killed_in_the_apply_rescues_its_state_at_the_next_start() {
    let Some(mut scene) = Scene::start() else { return };
    let main = "resource \"terraform_data\" \"made\" {}\nresource \"terraform_data\" \"slow\" {\n  \
                depends_on = [terraform_data.made]\n  provisioner \"local-exec\" {\n    command = \"sleep 3\"\n  }\n}\n";
    let run = scene.begin(&scene.configuration(main), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    std::thread::sleep(Duration::from_secs(1));
    scene.stack.agent().unwrap().kill().unwrap();
    scene.stack.start_agent(&[]).unwrap();
    scene.wait(&run, "the end", |run| ["errored", "applied"].contains(&found(run, "state").as_str()));
    let state = scene.stack.run(&["state", "pull", "-w", "demo"]).unwrap().succeeded().unwrap();
    assert!(state.out.contains("\"made\""), "{}", state.all());
    assert_eq!(scene.run(&run)["steps"].to_string().matches("\"step\":\"apply\"").count(), 1);
    wait_until("the sweep", || scene.run_directories().is_empty() && scene.secrets().is_empty());
    // The lock is free again.
    scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n")).succeeded().unwrap();
}

#[test]
fn a_sweep_leaves_alone_what_an_orphaned_apply_still_has_in_memory() {
    let Some(mut scene) = Scene::start() else { return };
    let main =
        "resource \"terraform_data\" \"slow\" {\n  provisioner \"local-exec\" {\n    command = \"sleep 8\"\n  }\n}\n";
    let run = scene.begin(&scene.configuration(main), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    wait_until("the process", || !scene.processes().is_empty());
    // It does not hear the interrupt that its agent's death brings, so it stays.
    let processes = scene.processes();
    let send = |signal| {
        for process in &processes {
            rustix::process::kill_process(*process, signal).unwrap();
        }
    };
    send(Signal::STOP);
    let kept = scene.secrets();
    assert_eq!(kept.len(), 1, "{kept:?}");
    scene.stack.agent().unwrap().kill().unwrap();
    scene.stack.start_agent(&[]).unwrap();
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(scene.secrets(), kept);
    send(Signal::CONT);
    scene.wait(&run, "the end", |run| ["errored", "applied"].contains(&found(run, "state").as_str()));
    wait_until("the sweep", || scene.run_directories().is_empty() && scene.secrets().is_empty());
}
