//! A host with both units installed as an operator would install them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::canary::Canary;
use support::child::{Finished, run, run_with_input};
use support::require;
use support::search::Search;
use support::systemd::Machine;

use super::super::{UNITS, text};
use crate::cli::program;

/// How long anything may take that happens by itself, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(90);

/// Where an operator's configurations are.
const CONFIGURATION: &str = "/srv/configuration";

/// The units by their names for `systemctl`.
pub(super) const SERVER: &str = "nigari-server";
pub(super) const AGENT: &str = "nigari-agent";

/// The machine, and what is typed on it.
pub(super) struct Host {
    pub(super) machine: Machine,
    url: String,
}

impl Host {
    /// Both units, users, directories and settings are there; nothing is started. `None`, said aloud, where that
    /// cannot be.
    pub(super) fn install(agent_settings: &str, more: &[(&Path, &str)]) -> Option<Self> {
        let (nigari, tofu) = (program(), require::tofu()?);
        let programs = [(nigari.as_path(), "/usr/bin/nigari"), (&tofu, "/usr/local/bin/tofu")];
        let machine = Machine::boot(&[&programs, more].concat())?;
        // Another process could take it before the server does; the kernel gives them round, so it does not.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let host = Self { machine, url: format!("http://127.0.0.1:{port}") };
        for (name, _) in UNITS {
            host.write(&format!("/usr/lib/systemd/system/{name}"), &text(name));
        }
        host.write("/usr/lib/sysusers.d/nigari.conf", &text("nigari.sysusers.conf"));
        host.write("/usr/lib/tmpfiles.d/nigari.conf", &text("nigari.tmpfiles.conf"));
        host.write("/etc/nigari/server.toml", &format!("listen = \"127.0.0.1:{port}\"\nlease = \"5s\"\n"));
        host.set_agent(agent_settings);
        host.machine.shell("systemd-sysusers && systemd-tmpfiles --create && systemctl daemon-reload").unwrap();
        host.machine.shell("install -d -m 0700 /etc/credstore").unwrap();
        Some(host)
    }

    /// Installed, started, and the agent has joined.
    pub(super) fn start() -> Option<Self> {
        let host = Self::install("", &[])?;
        host.starts(SERVER);
        host.join();
        Some(host)
    }

    /// Gives the agent the server's first join token, starts it, and takes the token away again.
    pub(super) fn join(&self) {
        self.machine.shell("install -m 0600 /var/lib/nigari-server/join.token /etc/credstore/").unwrap();
        self.starts(AGENT);
        self.machine.shell("rm /etc/credstore/join.token").unwrap();
    }

    pub(super) fn write(&self, path: &str, content: &str) {
        self.machine.write(path, content).unwrap();
    }

    /// Writes the agent's settings anew.
    pub(super) fn set_agent(&self, settings: &str) {
        self.write("/etc/nigari/agent.toml", &format!("server = \"{}\"\n{settings}", self.url));
    }

    /// `systemctl`, whatever comes of it.
    pub(super) fn systemctl(&self, words: &[&str]) -> Finished {
        self.machine.run(&[&["systemctl", "--no-pager"], words].concat()).unwrap()
    }

    /// `systemctl start`, which must be ready then.
    pub(super) fn starts(&self, unit: &str) {
        let said = self.systemctl(&["start", unit]);
        assert_eq!(said.code, Some(0), "{}\n{}", said.all(), self.machine.journal(Some(unit)).unwrap());
        assert_eq!(self.property(unit, "ActiveState"), "active");
    }

    pub(super) fn property(&self, unit: &str, name: &str) -> String {
        self.machine.property(unit, name).unwrap()
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut nigari = self.machine.command(&[&["nigari"], words].concat());
        nigari.env("NIGARI_SERVER", &self.url).env("NIGARI_TOKEN_FILE", "/var/lib/nigari-server/admin.token");
        nigari
    }

    /// Types a command of nigari and wants that exit code; gives all that it said.
    pub(super) fn ends(&self, words: &[&str], code: i32) -> String {
        let said = run(self.command(words)).unwrap();
        assert_eq!(said.code, Some(code), "{words:?}\n{}\n{}", said.all(), self.machine.journal(None).unwrap());
        said.all()
    }

    /// Types a command with something on stdin, which must succeed.
    pub(super) fn gives(&self, words: &[&str], input: &str) {
        run_with_input(self.command(words), input.as_bytes()).unwrap().succeeded().unwrap();
    }

    /// Writes the configuration and applies it without asking, with that exit code at the end.
    pub(super) fn apply(&self, main: &str, code: i32) -> String {
        self.write(&format!("{CONFIGURATION}/main.tf"), main);
        self.ends(&["apply", CONFIGURATION, "-w", "demo", "--create", "--auto-approve"], code)
    }

    /// The same in the background, until its run is in this step; gives the run's id.
    pub(super) fn begin(&self, main: &str, step: &str) -> String {
        self.write(&format!("{CONFIGURATION}/main.tf"), main);
        let said = self.ends(&["apply", CONFIGURATION, "-w", "demo", "--create", "--auto-approve", "--detach"], 0);
        let start = said.find("run-").unwrap();
        let id = said[start..start + 36].to_owned();
        self.wait(step, || self.run(&id)["steps"].to_string().contains(&format!("\"step\":\"{step}\"")));
        id
    }

    pub(super) fn run(&self, id: &str) -> Value {
        let said = run(self.command(&["run", "show", id, "--json"])).unwrap();
        serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.all()))
    }

    /// Waits until a run has this state.
    pub(super) fn wait_for_state(&self, id: &str, states: &[&str]) {
        self.wait(&states.join(" or "), || states.contains(&self.run(id)["state"].as_str().unwrap()));
    }

    /// Waits until `is_so`.
    pub(super) fn wait(&self, what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            let journal = || self.machine.journal(None).unwrap();
            assert!(begun.elapsed() < SOON, "{what} did not come about:\n{}", journal());
            thread::sleep(Duration::from_millis(30));
        }
    }

    /// Everything below the directories that runs have in memory and on disk.
    pub(super) fn of_runs(&self) -> Vec<PathBuf> {
        let line = "find /run/nigari-agent/nigari-* /var/lib/nigari-agent/runs -mindepth 1 2>/dev/null; true";
        self.machine.shell(line).unwrap().lines().map(PathBuf::from).collect()
    }

    /// The processes of the agent's unit, main process and all.
    pub(super) fn of_agent(&self) -> Vec<String> {
        let of_unit = |pid: &u32| {
            let groups = support::child::read_text(Path::new(&format!("/proc/{pid}/cgroup")));
            groups.contains("/nigari-agent.service")
        };
        let named = |pid: u32| support::child::read_text(Path::new(&format!("/proc/{pid}/cmdline"))).replace('\0', " ");
        // A process that has ended has no words any more.
        let words = self.machine.processes().into_iter().filter(of_unit).map(named);
        words.filter(|words| !words.is_empty()).collect()
    }

    /// Waits until nothing of any run is left, neither files nor processes. What stands by for the next step is of none.
    pub(super) fn wait_for_wipe(&self) {
        let of_runs = || self.of_agent().into_iter().filter(|words| !words.starts_with("nigari __")).count();
        self.wait("the wipe", || self.of_runs().is_empty() && of_runs() <= 1);
    }

    /// Searches what is left on the machine, what its processes show, and what the journal says.
    pub(super) fn search(&self, canaries: &[Canary]) -> Search {
        let mut search = Search::new(canaries);
        for directory in ["/etc/nigari", "/run/nigari-agent", "/run/log", "/var", "/tmp", "/srv"] {
            let path = self.machine.path(directory);
            if path.exists() {
                search.directory(&path);
            }
        }
        self.machine.processes().into_iter().for_each(|pid| search.process(pid));
        search.bytes("journal", self.machine.journal(None).unwrap().as_bytes());
        search.bytes("units", self.systemctl(&["show", SERVER, AGENT]).out.as_bytes());
        search
    }
}
