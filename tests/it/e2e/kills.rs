//! Kills with the real tofu: agent or launcher dies at a random moment of fetch, init, plan or apply, with each delivery in
//! each sandbox.
//!
//! Rule: after each kill nothing of the run lives, nobody listens where the broker was, no password is on any file system
//! that the run could write, and what an apply has made is in the state; the next agent wipes what is left and takes the
//! next run, which is the next one to be killed. 20 kills of each, times `NIGARI_LOOPS`; `kill` has many more with a
//! stand-in for tofu.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use nigari::process::tree::{self, Process};
use rustix::process::{Pid, Signal, kill_process};
use support::child::random_bytes;
use support::loops;
use support::search::contains;

use super::shelf::Shelf;
use super::world::{Setup, World};

/// How many kills with each delivery in each sandbox.
const KILLS: u32 = 20;

/// The words of tofu, and how many milliseconds later at most the kill comes.
const STEPS: [(&str, u32); 4] = [("get", 300), ("init", 200), ("plan", 300), ("apply", 1500)];

/// How many runs in a row may be through a step before it is seen.
const MISSES: usize = 20;

/// Longest time until nothing is left of `fetch` and `init`, and of a step that is interrupted. The promise for the first
/// is a second, on a machine that does nothing else.
const LEFT: [Duration; 2] = [Duration::from_secs(10), Duration::from_mins(1)];

/// One resource that is there at once, which a file tells, and one that takes its time.
const RESOURCES: &str = r#"resource "terraform_data" "made" {
  provisioner "local-exec" {
    command = "touch made"
  }
}
resource "terraform_data" "slow" {
  depends_on = [terraform_data.made]
  provisioner "local-exec" {
    command = "sleep 1"
  }
}
"#;

/// A run that was interrupted in its apply.
struct Orphan {
    workspace: String,
    run: String,
    has_made: bool,
}

struct Scene {
    world: World,
    shelf: Shelf,
    agent: [&'static str; 4],
    count: u32,
    /// Whether a broker's port was seen.
    has_seen_port: bool,
}

impl Scene {
    fn start(delivery: &'static str, sandbox: &'static str) -> Option<Self> {
        if sandbox == "namespace" && !crate::sandbox::has_namespaces() {
            return None;
        }
        let world = World::with(Setup { without_agent: true, ..Setup::default() })?;
        let password = world.canaries[0].password.clone();
        let shelf = if delivery == "broker" { Shelf::start_far(&password) } else { Shelf::start(&password) }?;
        shelf.add(&world, "demo", &["--export", "--permit-file"]).succeeded().unwrap();
        let agent = ["--delivery", delivery, "--sandbox", sandbox];
        Some(Self { world, shelf, agent, count: 0, has_seen_port: false })
    }

    fn agent(&mut self) -> Pid {
        let number = self.world.stack.agent().unwrap().pid();
        Pid::from_raw(number.try_into().unwrap()).unwrap()
    }

    fn types_apply(&mut self, more: &[&str]) -> (String, String) {
        self.count += 1;
        let workspace = format!("w{}", self.count);
        let directory = self.world.configuration(&format!("{}{RESOURCES}", self.shelf.main()));
        let directory = directory.display().to_string();
        let words = [&["apply", &directory, "-w", &workspace, "--create", "--auto-approve"], more].concat();
        let said = self.world.ends(&words, 0);
        (workspace, said)
    }

    /// A run of which this step is seen: its workspace, its id, and what lives then. Where a step came and went between
    /// two looks, as it may on a busy machine, the run is let to its end and another is made.
    fn catch(&mut self, step: &str) -> (String, String, Vec<Process>) {
        for _ in 0..MISSES {
            let (workspace, said) = self.types_apply(&["--detach"]);
            let start = said.find("run-").unwrap();
            let run = said[start..start + 36].to_owned();
            let (agent, begun, mut asked) = (self.agent(), Instant::now(), Instant::now());
            loop {
                let alive = tree::descendants(agent);
                if alive.iter().any(|process| is_tofu(process, step)) {
                    return (workspace, run, alive);
                }
                if asked.elapsed() > Duration::from_secs(2) {
                    if is_final(&self.world.run(&run)) {
                        break;
                    }
                    asked = Instant::now();
                }
                assert!(begun.elapsed() < LEFT[1], "waited in vain until {step}");
                thread::sleep(Duration::from_millis(5));
            }
        }
        panic!("{step} came and went between two looks {MISSES} times");
    }

    /// Kills somebody in this step; what an agent's death leaves to the next is given.
    fn kill(&mut self, (step, most): (&str, u32), is_agents: bool) -> Option<Orphan> {
        let (workspace, run, mut alive) = self.catch(step);
        let port = alive.iter().find_map(port_of);
        self.has_seen_port |= port.is_some();
        let random = u32::from_be_bytes(random_bytes(4).try_into().unwrap());
        thread::sleep(Duration::from_millis((random % most).into()));
        alive = tree::descendants(self.agent());
        let is_late = ["plan", "show", "apply"].iter().any(|step| alive.iter().any(|process| is_tofu(process, step)));
        let launcher = alive.iter().find(|process| words(process).iter().any(|word| word == b"__launcher"));
        if let Some(launcher) = launcher.filter(|_| !is_agents) {
            let _ = kill_process(launcher.pid, Signal::KILL);
            is_gone(&alive, port, is_late);
            self.world.wait(&run, "the end of a run whose launcher was killed", is_final);
            self.world.wait_for_wipe();
            self.no_password_is_left();
            return None;
        }
        self.world.stack.agent().unwrap().kill().unwrap();
        is_gone(&alive, port, is_late);
        wait_until("nothing of the run lives", LEFT[usize::from(is_late)], || self.marked().is_empty());
        self.no_password_is_left();
        let has_made = self.world.stack.run_root().join(&run).join("configuration/made").exists();
        let was_applied = self.world.run(&run)["steps"].to_string().contains("\"step\":\"apply\"");
        if !was_applied {
            // Or the next agent would do it again.
            self.world.types(&["run", "cancel", &run]);
        }
        self.world.stack.start_agent(&self.agent).unwrap();
        was_applied.then_some(Orphan { workspace, run, has_made })
    }

    /// What lives and names this stack in its environment, but for its server.
    fn marked(&mut self) -> Vec<PathBuf> {
        let server = PathBuf::from(format!("/proc/{}", self.world.stack.server().unwrap().pid()));
        let mark = self.world.stack.directory().as_os_str().as_encoded_bytes();
        let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        entries
            .filter(|path| *path != server && contains(&fs::read(path.join("environ")).unwrap_or_default(), mark))
            .collect()
    }

    fn no_password_is_left(&self) {
        let search = self.world.stack.search(&self.world.canaries);
        assert!(search.hits().is_empty(), "{:#?}", search.hits());
    }

    /// The next agent has looked after what was left.
    fn is_looked_after(&self, orphan: Option<Orphan>) {
        if let Some(Orphan { workspace, run, has_made }) = orphan {
            let ended = self.world.wait(&run, "the end of an orphaned apply", is_final);
            assert_eq!(ended["steps"].to_string().matches("\"step\":\"apply\"").count(), 1, "{ended:#}");
            if has_made {
                let state = self.world.ends(&["state", "pull", "-w", &workspace], 0);
                assert!(state.contains("\"made\""), "{state}\n{ended:#}");
            }
        }
        self.world.wait_for_wipe();
    }
}

/// Waits until what the agent had started is gone, and the broker too.
fn is_gone(alive: &[Process], port: Option<u16>, is_late: bool) {
    let lives = |process: &Process| {
        tree::look_up(process.pid).is_some_and(|now| now.started == process.started && !now.is_zombie)
    };
    wait_until("what the agent had started is gone", LEFT[usize::from(is_late)], || !alive.iter().any(lives));
    let is_open = |port| TcpStream::connect(("127.0.0.1", port)).is_ok();
    wait_until("the broker's port is closed", LEFT[0], || !port.is_some_and(is_open));
}

fn is_final(run: &serde_json::Value) -> bool {
    ["applied", "errored", "canceled", "lost", "no_changes"].iter().any(|state| run["state"] == *state)
}

fn words(process: &Process) -> Vec<Vec<u8>> {
    let line = fs::read(format!("/proc/{}/cmdline", process.pid)).unwrap_or_default();
    line.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect()
}

fn is_tofu(process: &Process, step: &str) -> bool {
    let words = words(process);
    words[0].ends_with(b"tofu") && words.get(1).is_some_and(|word| word == step.as_bytes())
}

/// Where the broker listens that this process was told of.
fn port_of(process: &Process) -> Option<u16> {
    let environment = fs::read(format!("/proc/{}/environ", process.pid)).ok()?;
    let entries = environment.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok());
    entries.filter_map(|entry| entry.strip_prefix("HTTPS_PROXY=")).find_map(|url| url::Url::parse(url).ok()?.port())
}

fn wait_until(what: &str, limit: Duration, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < limit, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

fn kill_with(delivery: &'static str, sandbox: &'static str) {
    let Some(mut scene) = Scene::start(delivery, sandbox) else { return };
    scene.world.stack.start_agent(&scene.agent).unwrap();
    for count in 0..loops::times(KILLS) {
        let step = STEPS[usize::try_from(count).unwrap() % STEPS.len()];
        // Two of three times the agent, and by turns in every step.
        let orphan = scene.kill(step, count % 3 != 2);
        scene.is_looked_after(orphan);
    }
    let (_, said) = scene.types_apply(&[]);
    assert!(said.contains("hello, greeting"), "{said}");
    scene.world.wait_for_wipe();
    // Another user's environment is closed to us.
    assert!(scene.has_seen_port == (delivery == "broker") || !rustix::process::geteuid().is_root());
}

#[test]
fn nothing_is_left_by_kills_with_the_broker_in_the_sandbox_process() {
    kill_with("broker", "process");
}

#[test]
fn nothing_is_left_by_kills_with_the_broker_in_the_sandbox_namespace() {
    kill_with("broker", "namespace");
}

#[test]
fn nothing_is_left_by_kills_with_the_helper_in_the_sandbox_process() {
    kill_with("helper", "process");
}

#[test]
fn nothing_is_left_by_kills_with_the_helper_in_the_sandbox_namespace() {
    kill_with("helper", "namespace");
}

#[test]
fn nothing_is_left_by_kills_with_a_file_in_the_sandbox_process() {
    kill_with("file", "process");
}

#[test]
fn nothing_is_left_by_kills_with_a_file_in_the_sandbox_namespace() {
    kill_with("file", "namespace");
}
