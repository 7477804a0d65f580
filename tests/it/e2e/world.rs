//! What a test has: server, agent, configurations, commands, and the search at its end.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::canary::Canary;
use support::child::{Child, Finished, random_hex};
use support::nigari::{Programs, Stack};
use support::require;
use support::watch::Watch;
use tempfile::TempDir;

use super::write;

/// How long anything may take that happens by itself, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(90);

/// The user of all canaries that are made here.
pub(super) const USER: &str = "reader";

/// What is not as usual.
#[derive(Default)]
pub(super) struct Setup<'a> {
    /// Instead of the real tofu.
    pub(super) tofu: Option<&'a Path>,
    /// More arguments of the agent.
    pub(super) agent: &'a [&'a str],
    /// Instead of two fresh ones.
    pub(super) canaries: Vec<Canary>,
    /// The test starts the agent itself.
    pub(super) without_agent: bool,
}

/// Server and agent. Its end is the search, and a test fails that leaves a password anywhere.
pub(super) struct World {
    pub(super) stack: Stack,
    pub(super) place: TempDir,
    /// What must not be found.
    pub(super) canaries: Vec<Canary>,
    said: RefCell<String>,
    /// Where a secret may be by design: the beginning of a place's name.
    forgiven: RefCell<Vec<String>>,
    watch: Option<Watch>,
}

impl World {
    /// `None`, said aloud, when there is no tofu.
    pub(super) fn start() -> Option<Self> {
        Self::with(Setup::default())
    }

    pub(super) fn with(setup: Setup) -> Option<Self> {
        let real = require::tofu()?;
        let tofu = setup.tofu.map_or(real, Path::to_owned);
        let mut canaries = setup.canaries;
        if canaries.is_empty() {
            canaries.extend([Canary::new(USER), Canary::new(USER)]);
        }
        let watch = Some(Watch::start(&canaries));
        let place = tempfile::tempdir().unwrap();
        let programs = Programs { nigari: env!("CARGO_BIN_EXE_nigari").into(), tofu };
        let mut stack = Stack::server_only(programs, &place.path().join("nigari")).unwrap();
        if !setup.without_agent {
            stack.start_agent(setup.agent).unwrap();
        }
        Some(Self { stack, place, canaries, said: RefCell::default(), forgiven: RefCell::default(), watch })
    }

    /// The design allows the secrets of this test in places whose names begin so.
    pub(super) fn forgive(&self, place: &str) {
        self.forgiven.borrow_mut().push(place.to_owned());
    }

    /// A path of the test's own, outside of what server and agent have.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    /// A directory with this `main.tf`.
    pub(super) fn configuration(&self, main: &str) -> PathBuf {
        let directory = self.path(&format!("configuration-{}", random_hex(4)));
        write(&directory.join("main.tf"), main);
        directory
    }

    /// Types a command.
    pub(super) fn types(&self, arguments: &[&str]) -> Finished {
        self.types_with(arguments, "")
    }

    /// Types a command, and something on stdin.
    pub(super) fn types_with(&self, arguments: &[&str], input: &str) -> Finished {
        let said = self.stack.run_with_input(arguments, input).unwrap();
        self.said.borrow_mut().push_str(&said.all());
        said
    }

    /// Types a command and wants that exit code; gives all that it said.
    pub(super) fn ends(&self, arguments: &[&str], code: i32) -> String {
        let said = self.types(arguments);
        assert_eq!(said.code, Some(code), "{arguments:?}\n{}", said.all());
        said.all()
    }

    /// Applies without asking, and wants that exit code; gives all that it said.
    pub(super) fn apply(&self, directory: &Path, code: i32) -> String {
        let directory = directory.display().to_string();
        self.ends(&["apply", &directory, "-w", "demo", "--create", "--auto-approve"], code)
    }

    /// Makes a run and gives its id.
    pub(super) fn begin(&self, directory: &Path, more: &[&str]) -> String {
        let directory = directory.display().to_string();
        let said = self.ends(&[&["apply", &directory, "-w", "demo", "--create", "--detach"], more].concat(), 0);
        let start = said.find("run-").unwrap();
        said[start..start + 36].to_owned()
    }

    /// Plans, waits until the plan waits for approval, and gives the run's id.
    pub(super) fn plans(&self, directory: &Path) -> String {
        let id = self.begin(directory, &[]);
        self.wait_for_state(&id, "awaiting_approval");
        id
    }

    /// The newest run's id.
    pub(super) fn newest(&self) -> String {
        self.stack.json(&["run", "list", "--json"]).unwrap()[0]["id"].as_str().unwrap().to_owned()
    }

    pub(super) fn run(&self, id: &str) -> Value {
        self.stack.json(&["run", "show", id, "--json"]).unwrap()
    }

    pub(super) fn log(&self, id: &str) -> String {
        self.ends(&["run", "logs", id], 0)
    }

    /// Waits until `is_so` of the run.
    pub(super) fn wait(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let run = self.run(id);
            if is_so(&run) {
                return run;
            }
            let agent = support::child::read_text(&self.stack.directory().join("agent.log"));
            assert!(begun.elapsed() < SOON, "{what} did not come about: {run:#}\n{agent}");
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits for a state; another state from which nothing leads there fails at once.
    pub(super) fn wait_for_state(&self, id: &str, state: &str) -> Value {
        let over = ["applied", "errored", "canceled", "discarded", "lost", "no_changes", "plan_finished"];
        let run = self.wait(id, state, |run| run["state"] == state || over.iter().any(|over| run["state"] == *over));
        assert_eq!(run["state"], state, "{run:#}\n{}", self.log(id));
        run
    }

    pub(super) fn wait_for_step(&self, id: &str, step: &str) {
        self.wait(id, step, |run| run["steps"].to_string().contains(&format!("\"step\":\"{step}\"")));
    }

    /// What the server has recorded of actions that contain `word`.
    pub(super) fn audited(&self, word: &str) -> Vec<Value> {
        let records = self.stack.json(&["audit", "list", "--json", "--limit", "1000"]).unwrap();
        let records = records.as_array().or(records["items"].as_array()).cloned().unwrap();
        assert!(!records.is_empty());
        records.into_iter().filter(|record| record["action"].as_str().unwrap().contains(word)).collect()
    }

    /// One more agent beside the first, with directories of its own but the same run root, unless `more` says
    /// otherwise.
    pub(super) fn another_agent(&self, name: &str, more: &[&str]) -> Child {
        self.another_agent_with(name, more, &[])
    }

    /// The same, with variables in its environment.
    pub(super) fn another_agent_with(&self, name: &str, more: &[&str], variables: &[(&str, &str)]) -> Child {
        let (state, secrets) = (self.path(name), self.stack.secret_root().unwrap().join(name));
        fs::create_dir(&state).unwrap();
        fs::create_dir(&secrets).unwrap();
        let mut agent = self.stack.command(&["agent", "start", "--name", name]);
        agent.arg("--join-token-file").arg(self.stack.directory().join("server/join.token"));
        let (runs, tofu) = (self.stack.run_root(), self.stack.programs().tofu.clone());
        let ours = [("--state-dir", state), ("--secret-root", secrets), ("--run-root", runs), ("--tofu", tofu)];
        for (flag, value) in ours.into_iter().filter(|(flag, _)| !more.contains(flag)) {
            agent.arg(flag).arg(value);
        }
        if !more.contains(&"--sandbox") {
            agent.args(self.stack.sandbox().unwrap());
        }
        agent.args(more).envs(variables.iter().copied());
        Child::start(name, agent, &self.stack.directory().join(format!("{name}.log"))).unwrap()
    }

    /// What agents have in memory now.
    pub(super) fn secrets(&self) -> Vec<PathBuf> {
        let root = self.stack.secret_root().unwrap();
        let (own, others): (Vec<PathBuf>, Vec<PathBuf>) = below(root).into_iter().partition(|path| is_agents(path));
        let others = others.iter().flat_map(|path| below(path)).filter(|path| is_agents(path));
        own.into_iter().chain(others).flat_map(|path| below(&path)).collect()
    }

    /// The run directories that are there.
    pub(super) fn run_directories(&self) -> Vec<PathBuf> {
        below(&self.stack.run_root())
    }

    /// Waits until nothing of any run is left on the host.
    pub(super) fn wait_for_wipe(&self) {
        let begun = Instant::now();
        while !self.run_directories().is_empty() || !self.secrets().is_empty() {
            let left = (self.run_directories(), self.secrets());
            assert!(begun.elapsed() < SOON, "left on the host: {left:?}");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let watched = self.watch.take().map(Watch::finish).unwrap();
        if thread::panicking() {
            return;
        }
        let mut search = self.stack.search(&self.canaries);
        search.bytes("what the commands wrote", self.said.borrow().as_bytes());
        let watched = watched.unwrap();
        assert!(watched.processes > 0);
        search.absorb(watched.search);
        let is_forgiven = |place: &str| self.forgiven.borrow().iter().any(|start| place.starts_with(start));
        let hits: Vec<_> = search.hits().iter().filter(|hit| !is_forgiven(&hit.place)).collect();
        assert!(hits.is_empty(), "{hits:#?}");
        if search.hits().is_empty() {
            search.verdict().unwrap();
        }
    }
}

/// `nigari-<uid>`, which an agent makes in its secret root.
fn is_agents(path: &Path) -> bool {
    path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("nigari-"))
}

fn below(path: &Path) -> Vec<PathBuf> {
    fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
