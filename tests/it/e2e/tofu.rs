//! A tofu that is missing, too old, crashes or is killed.

use std::net::TcpListener;
use std::time::Duration;

use super::recorder::Recorder;
use super::shelf::Shelf;
use super::world::{Setup, World};
use super::{PLAIN, script};

/// Starts an agent with this tofu, which must not start; gives what it said.
fn refused(tofu: &str) -> Option<String> {
    refused_with(tofu, &[])
}

fn refused_with(tofu: &str, more: &[&str]) -> Option<String> {
    let world = World::with(Setup { without_agent: true, ..Setup::default() })?;
    let mut agent = world.another_agent("refused", &[&["--tofu", tofu], more].concat());
    assert_eq!(agent.wait(Duration::from_mins(1)).unwrap().code(), Some(78), "{}", agent.log());
    // It never joined: the server knows no agent.
    assert!(world.audited("agent:join").is_empty());
    Some(agent.log())
}

/// A program that is not the real tofu.
fn program(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tofu");
    script(&path, text);
    (directory, path.display().to_string())
}

#[test]
fn an_agent_does_not_start_without_a_tofu() {
    let (directory, _) = program("");
    for path in ["/nonexistent/tofu", directory.path().to_str().unwrap(), "/etc/hostname"] {
        let Some(said) = refused(path) else { return };
        assert!(said.contains("hint: ") && said.contains(path), "{path}: {said}");
    }
}

#[test]
fn an_agent_does_not_start_with_a_tofu_that_gives_credentials_away() {
    for version in ["1.12.5", "1.11.13", "1.10.10", "1.9.0"] {
        let (_directory, path) = program(&format!("echo '{{\"terraform_version\": \"{version}\"}}'"));
        let Some(said) = refused_with(&path, &["--delivery", "file"]) else { return };
        assert!(said.contains(version) && said.contains("hint: install OpenTofu 1.12.6"), "{version}: {said}");
    }
}

#[test]
fn an_agent_does_not_start_with_what_is_no_tofu() {
    for text in ["echo hello", "exit 2", "kill -SEGV $$", "echo '{\"terraform_version\": 12}'", "exit 0"] {
        let (_directory, path) = program(text);
        let Some(said) = refused(&path) else { return };
        assert!(said.contains("hint: ") && !said.contains("panicked"), "{text}: {said}");
    }
}

/// The first start of `command` ends like this, and every other is the real one.
fn once(command: &str, fault: &str) -> Option<Recorder> {
    Recorder::with(&format!("if [ $1 = {command} ] && mkdir $(dirname $0)/once 2>&-; then\n  {fault}\nfi"))
}

/// Applies with a tofu that fails once, then again; gives what the first said.
fn fails_once(recorder: &Recorder) -> Option<String> {
    let tofu = recorder.program();
    let world = World::with(Setup { tofu: Some(&tofu), ..Setup::default() })?;
    let shelf = Shelf::start(&world.canaries[0].password)?;
    shelf.store(&world);
    let directory = world.configuration(&shelf.main());
    let said = world.apply(&directory, 1);
    assert_eq!(world.run(&world.newest())["state"], "errored");
    world.wait_for_wipe();
    // The workspace and its lock are free.
    world.apply(&directory, 0);
    Some(said)
}

#[test]
fn a_tofu_that_fails_in_any_step_fails_the_run_and_nothing_else() {
    for command in ["get", "init", "plan", "show", "apply"] {
        let Some(recorder) = once(command, "echo 'Error: no luck today' >&2; exit 3") else { return };
        let Some(said) = fails_once(&recorder) else { return };
        assert!(said.contains("no luck today"), "{command}: {said}");
    }
}

#[test]
fn a_tofu_that_crashes_is_named_by_its_signal() {
    for command in ["get", "plan"] {
        let Some(recorder) = once(command, "kill -SEGV $$") else { return };
        let Some(said) = fails_once(&recorder) else { return };
        assert!(said.contains("tofu was killed by signal 11"), "{command}: {said}");
    }
}

#[test]
fn a_tofu_that_is_killed_in_a_plan_frees_workspace_and_lock() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    // Who asks there waits for ever.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let main = format!(
        "data \"terraform_remote_state\" \"r\" {{\n  backend = \"http\"\n  config = {{ address = \"http://{}\" }}\n}}\n",
        silence.local_addr().unwrap()
    );
    let id = world.begin(&world.configuration(&main), &[]);
    world.wait_for_step(&id, "plan");
    world.wait(&id, "the real tofu", |_| recorder.starts("plan").iter().any(|start| !start.pid.is_empty()));
    std::thread::sleep(Duration::from_secs(1));
    let mut kill = support::child::command("kill");
    kill.args(["-9", recorder.only("plan").pid.trim()]);
    support::child::run(kill).unwrap().succeeded().unwrap();
    let shown = world.wait_for_state(&id, "errored");
    assert!(shown["failure"]["message"].as_str().unwrap().contains("tofu was killed by signal 9"), "{shown:#}");
    world.wait_for_wipe();
    world.apply(&world.configuration(PLAIN), 0);
}
