//! The agent as a process, with the real server, the real tofu and a real registry.

mod death;
mod draining;
mod elsewhere;
mod fetch;
mod litter;
mod orders;
mod sockets;
mod start;
mod state;
mod swept;
mod view;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::canary::Canary;
use support::child::{Child, Finished};
use support::module::Package;
use support::nigari::{Programs, Stack};
use support::registry::Registry;
use support::require;
use tempfile::TempDir;

/// How long anything may take that happens by itself, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(150);

const USER: &str = "reader";
const REPOSITORY: &str = "team/greeting";

/// A server and an agent.
struct Scene {
    stack: Stack,
    place: TempDir,
}

impl Scene {
    /// `None`, said aloud, when there is no tofu.
    fn start() -> Option<Self> {
        Self::with(&[], &[])
    }

    /// With more arguments for server and agent.
    fn with(server: &[&str], agent: &[&str]) -> Option<Self> {
        let programs = Programs { nigari: env!("CARGO_BIN_EXE_nigari").into(), tofu: require::tofu()? };
        let place = tempfile::tempdir().unwrap();
        let mut stack = Stack::server_only(programs, &place.path().join("nigari")).unwrap();
        if !server.is_empty() {
            stack.server().unwrap().stop().unwrap();
            stack.start_server(server).unwrap();
        }
        stack.start_agent(agent).unwrap();
        Some(Self { stack, place })
    }

    /// Another agent than the stack's own, with these settings in place of the usual ones.
    fn other_agent(&self, settings: &[(&str, &str)]) -> Child {
        self.start_other_agent(self.other_agent_command(settings))
    }

    /// The same, as the first process but one of a PID namespace, in a session that began outside of it.
    fn other_agent_in_pid_namespace(&self) -> Child {
        let agent = self.other_agent_command(&[]);
        let mut command = support::child::command("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--"]).arg(agent.get_program());
        command.args(agent.get_args());
        command.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
        self.start_other_agent(command)
    }

    fn start_other_agent(&self, command: Command) -> Child {
        Child::start("other agent", command, &self.place.path().join("other.log")).unwrap()
    }

    fn other_agent_command(&self, settings: &[(&str, &str)]) -> Command {
        let text = |path: PathBuf| path.display().to_string();
        let directory = self.stack.directory();
        let usual = [
            ("--join-token-file", text(directory.join("server/join.token"))),
            ("--state-dir", text(directory.join("agent"))),
            ("--run-root", text(self.stack.run_root())),
            ("--tofu", text(self.stack.programs().tofu.clone())),
            ("--secret-root", text(self.stack.secret_root().unwrap().to_owned())),
        ];
        let mut command = self.stack.command(&["agent", "start"]);
        let is_changed = |flag: &str| settings.iter().any(|(changed, _)| *changed == flag);
        for (flag, value) in usual.iter().filter(|(flag, _)| !is_changed(flag)) {
            command.args([flag, value.as_str()]);
        }
        for (flag, value) in settings {
            command.args([flag, value]);
        }
        command
    }

    /// A directory with this `main.tf`.
    fn configuration(&self, main: &str) -> PathBuf {
        let directory = self.place.path().join(format!("configuration-{}", support::child::random_hex(4)));
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("main.tf"), main).unwrap();
        directory
    }

    /// Applies without asking, and waits for the end.
    fn apply(&self, directory: &Path) -> Finished {
        let directory = directory.display().to_string();
        self.stack.run(&["apply", &directory, "-w", "demo", "--create", "--auto-approve"]).unwrap()
    }

    /// Makes a run and gives its id.
    fn begin(&self, directory: &Path, more: &[&str]) -> String {
        let directory = directory.display().to_string();
        let arguments = [&["apply", &directory, "-w", "demo", "--create", "--detach"], more].concat();
        let said = self.stack.run(&arguments).unwrap().succeeded().unwrap().all();
        let start = said.find("run-").unwrap();
        said[start..start + 36].to_owned()
    }

    fn run(&self, id: &str) -> Value {
        self.stack.json(&["run", "show", id, "--json"]).unwrap()
    }

    /// Waits until `is_so` of the run.
    fn wait(&mut self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let run = self.run(id);
            if is_so(&run) {
                return run;
            }
            let log = self.stack.agent().map(|agent| agent.log()).unwrap_or_default();
            assert!(begun.elapsed() < SOON, "{what} did not come about: {run:#}\n{log}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for_state(&mut self, id: &str, state: &str) -> Value {
        self.wait(id, state, |run| found(run, "state") == state)
    }

    fn wait_for_step(&mut self, id: &str, step: &str) {
        self.wait(id, step, |run| run["steps"].to_string().contains(&format!("\"step\":\"{step}\"")));
    }

    fn log(&self, id: &str) -> String {
        self.stack.run(&["run", "logs", id]).unwrap().out
    }

    /// What is below the secret root, at any depth of two.
    fn secrets(&self) -> Vec<PathBuf> {
        let root = self.stack.secret_root().unwrap();
        let below =
            |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        let tops: Vec<PathBuf> = below(root);
        tops.iter().flat_map(|top: &PathBuf| -> Vec<PathBuf> { below(top) }).collect()
    }

    /// Whether a step has its secrets: in a directory of the host, besides what belongs to whole runs, or in the sandbox
    /// that its process lives in.
    fn has_delivery(&self) -> bool {
        let is_of_run =
            |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("run-"));
        !self.processes().is_empty() || !self.secrets().iter().all(is_of_run)
    }

    /// The processes of steps: what works in a run directory.
    fn processes(&self) -> Vec<rustix::process::Pid> {
        let root = self.stack.run_root();
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let of = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str()?.parse().ok()?;
            let cwd = fs::read_link(entry.path().join("cwd")).ok()?;
            cwd.starts_with(&root).then(|| rustix::process::Pid::from_raw(number))?
        };
        entries.filter_map(of).collect()
    }

    /// Names of the run directories.
    fn run_directories(&self) -> Vec<PathBuf> {
        fs::read_dir(self.stack.run_root()).unwrap().flatten().map(|entry| entry.path()).collect()
    }
}

/// A member of a run, wherever `run show --json` has it.
fn found(run: &Value, name: &str) -> String {
    let value = if run["run"][name].is_null() { &run[name] } else { &run["run"][name] };
    value.as_str().unwrap_or_default().to_owned()
}

/// The receipt of the run under this claim, if the server has it.
fn receipt_of(run: &Value, epoch: i64) -> Option<Value> {
    run["receipts"].as_array()?.iter().find(|receipt| receipt["epoch"] == epoch).cloned()
}

/// That receipt says so, and that nothing was left.
fn assert_ended(run: &Value, epoch: i64, end: &str) {
    let receipt = receipt_of(run, epoch).unwrap_or_else(|| panic!("no receipt of {epoch}: {run:#}"));
    assert_eq!((&receipt["end"], &receipt["wiped"]), (&end.into(), &true.into()), "{receipt:#}");
}

/// Waits until `is_so`.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "{what} did not come about");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A registry with one module, and a canary as its password.
struct Shelf {
    registry: Registry,
    canary: Canary,
    _place: TempDir,
}

impl Shelf {
    fn start() -> Option<Self> {
        let program = require::registry()?;
        let place = tempfile::tempdir().unwrap();
        let canary = Canary::new(USER);
        let registry = Registry::start(&program, &place.path().join("registry"), USER, &canary.password).unwrap();
        registry.push(REPOSITORY, "1.0.0", &Package::greeting()).unwrap();
        Some(Self { registry, canary, _place: place })
    }

    fn main(&self) -> String {
        format!(
            "module \"greeting\" {{\n  source = \"oci://{}/{REPOSITORY}?tag=1.0.0\"\n  name = \"you\"\n}}\n\
             output \"text\" {{\n  value = module.greeting.text\n}}\n",
            self.registry.host()
        )
    }

    /// Stores the integration.
    fn store(&self, scene: &Scene, export: &str, password: &str) {
        let (url, ca) = (format!("https://{}", self.registry.host()), self.registry.ca_file().display().to_string());
        let arguments = [
            "registry",
            "add",
            "demo",
            "--url",
            &url,
            "--username",
            USER,
            "--secret-stdin",
            "--registry-ca-file",
            &ca,
            export,
        ];
        scene.stack.run_with_input(&arguments, password).unwrap().succeeded().unwrap();
    }
}

/// An address that takes connections and never answers: whoever asks there waits.
struct Silence(TcpListener);

impl Silence {
    fn new() -> Self {
        Self(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap())
    }
}
