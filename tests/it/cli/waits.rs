//! Runs that wait, and what people are told about it: who is before them, that no agent is there, what becomes of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use support::child::Child;
use support::nigari::{Programs, Stack};

use super::program;
use super::runs::World;

const LONG: Duration = Duration::from_mins(1);

/// A server without an agent, and a directory `net` with a configuration.
pub(super) fn alone(directory: &Path) -> Stack {
    let programs = Programs { nigari: program(), tofu: PathBuf::from("/nonexistent/tofu") };
    std::fs::create_dir(directory.join("net")).unwrap();
    std::fs::write(directory.join("net/main.tf"), "# empty\n").unwrap();
    Stack::server_only(programs, directory).unwrap()
}

/// Makes a run of that directory that nobody takes; gives its id.
pub(super) fn detached(stack: &Stack, directory: &Path) -> String {
    let net = directory.join("net").display().to_string();
    let said = stack.run(&["apply", &net, "--create", "--detach"]).unwrap().succeeded().unwrap();
    said.out.trim().to_owned()
}

fn follow(stack: &Stack, directory: &Path, name: &str, arguments: &[&str]) -> Child {
    let net = directory.join("net").display().to_string();
    let command = stack.command(&[&arguments[..1], &[net.as_str()], &arguments[1..]].concat());
    Child::start(name, command, &directory.join(format!("{name}.log"))).unwrap()
}

fn interrupt(following: &mut Child) -> String {
    following.signal(Signal::INT).unwrap();
    assert_eq!(following.wait(LONG).unwrap().code(), Some(0));
    following.log()
}

#[test]
fn a_run_that_no_agent_would_take_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    let mut plan = follow(&stack, directory.path(), "plan", &["plan", "--create"]);
    plan.wait_for_line("no agent of the pool `default` is online", LONG).unwrap();
    let log = interrupt(&mut plan);
    assert!(log.contains("uploading 1 file to `net`"), "{log}");
    assert!(log.contains("the run stays queued") && !log.contains("applies"), "{log}");
    let doctor = stack.run(&["doctor"]).unwrap().out;
    assert!(doctor.contains("warn  agents") && doctor.contains("pool `default`"), "{doctor}");
}

#[test]
fn a_run_behind_another_names_it_and_one_that_applies_by_itself_says_so_when_it_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let stack = alone(directory.path());
    let first = detached(&stack, directory.path());
    let mut second = follow(&stack, directory.path(), "second", &["apply", "--auto-approve"]);
    second.wait_for_line(&format!("before it in the workspace `net`, {first} is queued"), LONG).unwrap();
    let log = interrupt(&mut second);
    assert!(log.contains(&format!("nigari run cancel {first}")), "{log}");
    assert!(log.contains("the run stays queued; when its turn comes, it plans and applies by itself"), "{log}");
    let id = stack.json(&["run", "list", "--json"]).unwrap()[0]["id"].as_str().unwrap().to_owned();
    assert!(log.contains(&format!("end it:           nigari run cancel {id}")), "{log}");
}

#[test]
fn a_run_behind_a_plan_that_waits_for_approval_says_how_to_decide_on_it() {
    let Some(world) = World::new() else { return };
    world.ends(&["apply", "net", "--create"], 4);
    let (first, state) = world.newest();
    assert_eq!(state, "awaiting_approval");
    let mut second = follow(&world.stack, world.directory.path(), "second", &["apply", "--auto-approve"]);
    second.wait_for_line(&format!("nigari run discard {first}"), LONG).unwrap();
    world.ends(&["run", "discard", "-w", "net"], 0);
    assert_eq!(second.wait(LONG).unwrap().code(), Some(0), "{}", second.log());
    assert!(second.log().contains("Apply complete!"), "{}", second.log());
    let doctor = world.stack.run(&["doctor"]).unwrap().out;
    assert!(doctor.contains("ok    agents") && doctor.contains("pool `default`: 1 online"), "{doctor}");
    let logs = world.stack.json(&["run", "logs", "-w", "net", "--json"]).unwrap();
    assert_eq!((&logs[0]["phase"], &logs[1]["phase"]), (&"plan".into(), &"apply".into()), "{logs}");
    assert!(logs[1]["text"].as_str().unwrap().contains("Apply complete!"), "{logs}");
    assert_eq!(logs[1]["complete"], true);
}
