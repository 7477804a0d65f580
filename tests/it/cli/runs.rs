//! Runs, typed against a real server, agent and tofu.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::canary::Canary;
use support::child::{Child, Finished, run};
use support::http::Request;
use support::nigari::{Programs, Stack};
use support::require;

use super::program;
use super::terminal::Terminal;

/// What a test has: server, agent, and a directory `net` with a configuration.
pub(super) struct World {
    pub(super) directory: tempfile::TempDir,
    pub(super) stack: Stack,
}

impl World {
    pub(super) fn new() -> Option<Self> {
        let tofu = require::tofu()?;
        let directory = tempfile::tempdir().unwrap();
        let stack = Stack::start(Programs { nigari: program(), tofu }, directory.path()).unwrap();
        std::fs::create_dir(directory.path().join("net")).unwrap();
        let world = Self { directory, stack };
        world.write("hello");
        Some(world)
    }

    pub(super) fn write(&self, input: &str) {
        let text = format!(
            "resource \"terraform_data\" \"a\" {{\n  input = \"{input}\"\n}}\n\noutput \"o\" {{\n  value = \
             terraform_data.a.output\n}}\n"
        );
        std::fs::write(self.directory.path().join("net/main.tf"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.stack.command(arguments);
        command.current_dir(self.directory.path());
        command
    }

    fn typed(&self, arguments: &[&str]) -> Finished {
        run(self.command(arguments)).unwrap()
    }

    /// Types, and wants that exit code.
    pub(super) fn ends(&self, arguments: &[&str], code: i32) -> Finished {
        let said = self.typed(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}\n{}", said.all());
        said
    }

    /// The newest run's id and state.
    pub(super) fn newest(&self) -> (String, String) {
        let runs = self.stack.json(&["run", "list", "--json"]).unwrap();
        let word = |name: &str| runs[0][name].as_str().unwrap().to_owned();
        (word("id"), word("state"))
    }
}

#[test]
fn a_directory_becomes_an_applied_run() {
    let Some(world) = World::new() else { return };
    let said = world.ends(&["apply", "net", "--auto-approve"], 1);
    assert!(said.err.contains("hint: `--create` makes it"), "{}", said.err);
    let said = world.ends(&["apply", "net", "--auto-approve", "--create", "-m", "first"], 0);
    assert!(
        said.out.contains("Apply complete! Resources: 1 added") && said.out.contains("o = \"hello\""),
        "{}",
        said.out
    );
    assert!(!said.all().contains('\u{1b}'), "colours in a pipe");
    let (id, state) = world.newest();
    assert_eq!(state, "applied");
    let stored = world.ends(&["run", "logs", &id], 0).out;
    assert_eq!(said.out, stored, "what was followed is not what was stored");
    let shown = world.ends(&["run", "show", &id], 0).out;
    for words in
        ["message      first", "fetch", "apply", "receipt of plan", "wiped", "yes, verified: the launcher emptied"]
    {
        assert!(shown.contains(words), "{words}:\n{shown}");
    }
    assert_eq!(world.stack.json(&["run", "show", &id, "--json"]).unwrap()["receipts"][0]["wiped"], true);
    for arguments in [&["run", "show"][..], &["run", "show", "-w", "net"]] {
        assert_eq!(world.ends(arguments, 0).out, shown, "{arguments:?}");
    }
    let made = world.stack.json(&["run", "show", "--json"]).unwrap()["created_at"].clone();
    assert!(made.as_str().is_some_and(|made| made.starts_with("20") && made.ends_with('Z')), "{made}");
    assert!(world.ends(&["run", "logs", &id, "--phase", "apply"], 0).out.contains("Apply complete!"));
    assert!(world.ends(&["run", "logs", &id, "--follow"], 0).out.contains("Plan: 1 to add"));
    world.ends(&["plan", "net", "--detailed-exitcode"], 0);
    world.write("changed");
    world.ends(&["plan", "net"], 0);
    world.ends(&["plan", "net", "--detailed-exitcode"], 4);
    assert!(world.ends(&["destroy", "net", "--auto-approve"], 0).out.contains("1 destroyed"));
    let agents = world.stack.json(&["agent", "list", "--json"]).unwrap();
    assert_eq!(agents[0]["status"], "online");
}

#[test]
fn what_a_configuration_prints_does_not_command_the_terminal() {
    let Some(world) = World::new() else { return };
    let evil = r#"resource "terraform_data" "a" {
  provisioner "local-exec" {
    command = "printf '\\033[2J\\033]52;c;eA==\\007painted\\n'"
  }
}
"#;
    std::fs::write(world.directory.path().join("net/main.tf"), evil).unwrap();
    let apply = at(&world, &["apply", "net", "--create", "--auto-approve", "-m", "m\u{1b}[2J"]);
    let Some(terminal) = Terminal::start(&apply) else { return };
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen:?}");
    assert!(seen.contains("␛[2J␛]52;c;eA==·painted") && seen.contains("\u{1b}[1m"), "{seen:?}");
    for harm in ["\u{1b}[2J", "\u{1b}]", "\u{7}"] {
        assert!(!seen.contains(harm), "{harm:?}: {seen:?}");
    }
    let (id, _) = world.newest();
    for said in [world.ends(&["run", "logs", &id], 0), world.ends(&["run", "show", &id], 0)] {
        assert!(said.out.contains("␛[2J") && !said.out.contains('\u{1b}'), "{:?}", said.out);
    }
}

#[test]
fn without_a_terminal_a_plan_waits_for_approval() {
    let Some(world) = World::new() else { return };
    let said = world.ends(&["apply", "net", "--create"], 4);
    let (id, state) = world.newest();
    assert_eq!(state, "awaiting_approval");
    assert!(said.err.contains(&format!("nigari run approve {id}")), "{}", said.err);
    world.ends(&["run", "approve", &id, "--digest", &"0".repeat(64)], 1);
    let applied = world.ends(&["run", "approve", &id, "--follow"], 0).out;
    assert!(applied.contains("Apply complete!") && !applied.contains("Plan: 1 to add"), "{applied}");
    world.write("again");
    world.ends(&["apply", "net"], 4);
    let (id, _) = world.newest();
    world.ends(&["run", "discard", &id], 0);
    world.ends(&["run", "logs", &id, "--follow"], 3);
    world.ends(&["run", "approve", &id], 1);
    world.ends(&["run", "resolve", &id, "--applied"], 1);
}

#[test]
fn a_failed_run_ends_with_1_and_tofus_own_words() {
    let Some(world) = World::new() else { return };
    std::fs::write(world.directory.path().join("net/main.tf"), "resource \"terraform_data\" {}\n").unwrap();
    let said = world.ends(&["plan", "net", "--create"], 1);
    assert!(said.all().contains("Missing name for resource"), "{}", said.all());
    assert_eq!(world.newest().1, "errored");
}

#[test]
fn a_lock_that_stays_behind_an_ended_run_is_named_with_the_way_to_take_it_away() {
    let Some(world) = World::new() else { return };
    world.ends(&["apply", "net", "--create", "--auto-approve"], 0);
    std::fs::write(world.directory.path().join("net/main.tf"), "resource \"terraform_data\" {}\n").unwrap();
    let token = std::fs::read_to_string(world.stack.token_file()).unwrap();
    let lock =
        br#"{"ID":"left-behind","Operation":"x","Who":"kim@host","Version":"","Created":"","Info":"","Path":""}"#;
    let request = Request {
        method: "POST",
        target: "/api/v1/workspaces/net/state/lock",
        headers: &[("authorization", &format!("Bearer {}", token.trim())), ("content-type", "application/json")],
        body: lock,
    };
    let port = world.stack.url().trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
    let answer = request.over_loopback(port).unwrap();
    assert!(answer.status < 300, "{} {}", answer.status, answer.text());
    let command = "nigari state unlock -w net left-behind";
    for arguments in [&["plan", "net"][..], &["run", "show"]] {
        let said = world.typed(arguments);
        assert!(said.err.contains(command) && said.err.contains("kim@host"), "{arguments:?}: {}", said.err);
    }
    world.ends(&["state", "unlock", "-w", "net", "left-behind"], 0);
    assert!(!world.ends(&["run", "show"], 0).err.contains(command));
}

#[test]
fn an_existing_local_state_is_not_overlooked() {
    let Some(world) = World::new() else { return };
    let state = r#"{"version":4,"terraform_version":"1.12.6","serial":1,"lineage":"a","outputs":{},"resources":[],"check_results":null}"#;
    std::fs::write(world.directory.path().join("net/terraform.tfstate"), state).unwrap();
    let said = world.ends(&["apply", "net", "--create", "--auto-approve"], 1);
    assert!(said.err.contains("nigari state push -w net"), "{}", said.err);
    world.ends(&["state", "push", "-w", "net", "net/terraform.tfstate"], 0);
    world.ends(&["apply", "net", "--auto-approve"], 0);
}

#[test]
fn a_detached_run_goes_on_and_can_be_canceled() {
    let Some(world) = World::new() else { return };
    let id = world.ends(&["apply", "net", "--create", "--detach"], 0).out.trim().to_owned();
    world.ends(&["run", "logs", "--follow", &id], 4);
    world.ends(&["run", "cancel", &id], 0);
    world.ends(&["run", "logs", "--follow", &id], 3);
    assert_eq!(world.newest(), (id, "canceled".to_owned()));
}

/// Waits until the newest run is in that state.
fn wait_for_state(world: &World, wanted: &str) {
    let begun = Instant::now();
    while world.newest().1 != wanted {
        assert!(begun.elapsed() < Duration::from_mins(1), "{:?}, not {wanted}", world.newest());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn an_interrupt_ends_the_following_and_not_the_run() {
    let Some(mut world) = World::new() else { return };
    // Without an agent the run waits, so there is time to interrupt.
    world.stack.agent().unwrap().stop().unwrap();
    let apply = world.command(&["apply", "net", "--create"]);
    let mut following = Child::start("apply", apply, &world.directory.path().join("apply.log")).unwrap();
    following.wait_for_line("waits for an agent", Duration::from_secs(30)).unwrap();
    following.signal(Signal::INT).unwrap();
    assert_eq!(following.wait(Duration::from_secs(10)).unwrap().code(), Some(0));
    assert!(following.log().contains("detached"), "{}", following.log());
    let (id, state) = world.newest();
    assert_eq!(state, "queued");
    let log = following.log();
    for words in [format!("nigari run logs --follow {id}"), format!("nigari run cancel {id}")] {
        assert!(log.contains(&words), "{log}");
    }
    world.stack.start_agent(&[]).unwrap();
    wait_for_state(&world, "awaiting_approval");
}

#[test]
fn a_server_that_comes_back_is_followed_on() {
    let Some(mut world) = World::new() else { return };
    world.stack.agent().unwrap().stop().unwrap();
    let apply = world.command(&["apply", "net", "--create", "--auto-approve"]);
    let mut following = Child::start("apply", apply, &world.directory.path().join("apply.log")).unwrap();
    following.wait_for_line("waits for an agent", Duration::from_secs(30)).unwrap();
    world.stack.server().unwrap().stop().unwrap();
    following.wait_for_line("trying again, the run goes on", Duration::from_secs(30)).unwrap();
    world.stack.start_server(&[]).unwrap();
    world.stack.start_agent(&[]).unwrap();
    assert_eq!(following.wait(Duration::from_secs(90)).unwrap().code(), Some(0), "{}", following.log());
    assert_eq!(following.log().matches("Apply complete!").count(), 1, "{}", following.log());
}

#[test]
fn a_secret_that_is_typed_is_not_shown() {
    let Some(world) = World::new() else { return };
    let secret = Canary::new("robot");
    let add = ["registry", "add", "hub", "--url", "https://hub.localhost:1", "--username", "robot"];
    let Some(mut terminal) = Terminal::start(&at(&world, &add)) else { return };
    terminal.wait_for("Password or token of robot: ");
    // The echo is switched off behind the question.
    std::thread::sleep(Duration::from_millis(300));
    terminal.press(&format!("{}\n", secret.password));
    terminal.wait_for("may runs get them for their fetch step?");
    terminal.press("no\n");
    let (code, seen) = terminal.end();
    assert_eq!(code, 0, "{seen}");
    assert!(!seen.contains(&secret.password), "{seen}");
    assert_eq!(world.stack.json(&["registry", "show", "hub", "--json"]).unwrap()["export_credentials"], false);
}

#[test]
fn an_interrupt_while_a_secret_is_typed_gives_the_echo_back() {
    let Some(world) = World::new() else { return };
    let add = ["registry", "add", "hub", "--url", "https://hub.localhost:1", "--username", "robot", "--export"];
    let add = at(&world, &add);
    // A shell that goes on shows whether the terminal is as it was.
    let words: Vec<String> = std::iter::once(add.get_program())
        .chain(add.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let mut shell = support::child::command("/bin/sh");
    shell.args(["-c", &format!("{}; stty -a", words.join(" "))]);
    shell.envs(add.get_envs().filter_map(|(name, value)| Some((name, value?)))).env("PATH", "/usr/bin:/bin");
    let Some(mut terminal) = Terminal::start(&shell) else { return };
    terminal.wait_for("Password or token of robot: ");
    std::thread::sleep(Duration::from_millis(300));
    terminal.press("half\u{3}");
    let (_, seen) = terminal.end();
    assert!(seen.contains("interrupted") && !seen.contains("half"), "{seen}");
    for mode in [" echo ", " icanon ", "isig "] {
        assert!(seen.contains(mode), "{mode}: {seen}");
    }
}

/// A command for a terminal: `script` starts it where the test says.
pub(super) fn at(world: &World, arguments: &[&str]) -> Command {
    let net = world.directory.path().join("net").display().to_string();
    let here = |word: &&str| if *word == "net" { net.clone() } else { (*word).to_owned() };
    let arguments: Vec<String> = arguments.iter().map(here).collect();
    world.stack.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[test]
fn up_is_all_that_one_person_needs() {
    let Some(tofu) = require::tofu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let secrets = tempfile::Builder::new().prefix("nigari-up-").tempdir_in("/dev/shm").unwrap();
    let in_home = |arguments: &[&str]| super::nigari(directory.path(), arguments);
    let mut up = in_home(&["up", "--listen", "127.0.0.1:0", "--tofu"]);
    up.arg(tofu).arg("--secret-root").arg(secrets.path());
    let mut up = Child::start("up", up, &directory.path().join("up.log")).unwrap();
    up.wait_for_line("nigari is up: http://127.0.0.1:", Duration::from_secs(30)).unwrap();
    up.wait_for_line("nigari apply DIR", Duration::from_secs(30)).unwrap();
    let net = configuration(directory.path());
    let said = run(in_home(&["apply", &net, "--create", "--auto-approve"])).unwrap();
    assert_eq!(said.code, Some(0), "{}\n{}", said.all(), up.log());
    up.signal(Signal::INT).unwrap();
    assert_eq!(up.wait(Duration::from_secs(30)).unwrap().code(), Some(0), "{}", up.log());
    assert!(directory.path().join(".local/state/nigari/up/server/nigari.db").is_file());
}

#[test]
fn up_announces_nothing_that_cannot_be_and_takes_its_drained_agent_back() {
    let Some(tofu) = require::tofu() else { return };
    let directory = tempfile::tempdir().unwrap();
    let secrets = tempfile::Builder::new().prefix("nigari-up-").tempdir_in("/dev/shm").unwrap();
    let in_home = |arguments: &[&str]| super::nigari(directory.path(), arguments);
    let start = |name: &str, tofu: &Path, secret_root: &Path| {
        let mut up = in_home(&["up", "--listen", "127.0.0.1:0", "--tofu"]);
        up.arg(tofu).arg("--secret-root").arg(secret_root);
        Child::start("up", up, &directory.path().join(name)).unwrap()
    };
    let patience = Duration::from_mins(1);
    // The source tree is on a disk wherever it is built; `true` is no tofu.
    let disk = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (name, tofu, root) in [
        ("missing.log", Path::new("/nope"), secrets.path()),
        ("another.log", Path::new("/bin/true"), secrets.path()),
        ("disk.log", tofu.as_path(), disk),
    ] {
        let mut up = start(name, tofu, root);
        assert_eq!(up.wait(patience).unwrap().code(), Some(78), "{}", up.log());
        assert!(!up.log().contains("nigari is up") && up.log().contains("hint: "), "{}", up.log());
    }
    let mut up = start("up.log", &tofu, secrets.path());
    up.wait_for_line("session opened", patience).unwrap();
    let agents = run(in_home(&["agent", "list", "--json"])).unwrap().succeeded().unwrap();
    let agents: serde_json::Value = serde_json::from_str(&agents.out).unwrap();
    let name = agents[0]["name"].as_str().unwrap();
    run(in_home(&["agent", "drain", name])).unwrap().succeeded().unwrap();
    assert_eq!(up.wait(patience).unwrap().code(), Some(0), "{}", up.log());
    let log = up.log();
    assert!(log.contains(&format!("`nigari agent resume {name}`")), "{log}");
    assert!(log.contains("`nigari up` takes it back"), "{log}");
    let mut up = start("again.log", &tofu, secrets.path());
    up.wait_for_line("was drained; it takes runs again", patience).unwrap();
    let net = configuration(directory.path());
    let said = run(in_home(&["apply", &net, "--create", "--auto-approve"])).unwrap();
    assert_eq!(said.code, Some(0), "{}\n{}", said.all(), up.log());
    up.signal(Signal::INT).unwrap();
    assert_eq!(up.wait(patience).unwrap().code(), Some(0), "{}", up.log());
}

fn configuration(directory: &Path) -> String {
    let net = directory.join("net");
    std::fs::create_dir(&net).unwrap();
    std::fs::write(net.join("main.tf"), "output \"o\" {\n  value = \"hello\"\n}\n").unwrap();
    net.display().to_string()
}
