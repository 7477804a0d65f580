//! A host without namespaces on which a step could leave its sandbox by a socket (A8).
//!
//! Rule: the host is made for it: a mount namespace with a `/run` of its own, in a user namespace in which nobody can make
//! another one.

use std::path::Path;
use std::process::Command;

use support::child::{Child, Finished, command, run};
use support::require;
use tempfile::TempDir;

use super::SOON;

/// Makes the host, then becomes the words behind it, without capabilities.
const HOST: &str = r#"
mount -t tmpfs tmpfs /run && mkdir -p "$(dirname "$1")" || exit 90
perl -e 'use IO::Socket::UNIX; IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 1) or die' "$1" || exit 91
echo 0 > /proc/sys/user/max_user_namespaces || exit 92
shift
exec setpriv --bounding-set=-all --inh-caps=-all --ambient-caps=-all -- "$@"
"#;

/// nigari on that host.
struct Host {
    home: TempDir,
    memory: TempDir,
    tofu: String,
}

impl Host {
    fn new() -> Option<Self> {
        let tofu = require::tofu()?.display().to_string();
        require::program("perl")?;
        let mut unshare = command("unshare");
        unshare.args(["--user", "--map-root-user", "--mount", "--", "mount", "-t", "tmpfs", "tmpfs", "/run"]);
        if run(unshare).unwrap().code != Some(0) {
            require::missing("namespaces of users and mounts");
            return None;
        }
        let memory = tempfile::Builder::new().prefix("nigari-sockets-").tempdir_in("/dev/shm").unwrap();
        Some(Self { home: tempfile::tempdir().unwrap(), memory, tofu })
    }

    /// With this socket.
    fn command(&self, socket: &str, words: &[&str]) -> Command {
        let mut command = command("unshare");
        command.args(["--user", "--map-root-user", "--mount", "--", "/bin/sh", "-c", HOST, "sh", socket]);
        command.arg(env!("CARGO_BIN_EXE_nigari")).args(words).args(["--tofu", &self.tofu, "--secret-root"]);
        command.arg(self.memory.path()).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("HOME", self.home.path());
        command
    }

    fn agent(&self, socket: &str, more: &[&str]) -> Command {
        let state = self.home.path().join("agent").display().to_string();
        let words = ["agent", "start", "--server", "http://127.0.0.1:1", "--state-dir", &state];
        self.command(socket, &[&words[..], more].concat())
    }

    fn log(&self) -> &Path {
        self.home.path()
    }
}

fn ended(command: Command) -> Finished {
    run(command).unwrap()
}

#[test]
fn an_agent_does_not_take_the_sandbox_process_by_itself_where_a_step_could_rule_the_host() {
    let Some(host) = Host::new() else { return };
    for socket in ["/run/docker.sock", "/run/user/0/bus"] {
        let said = ended(host.agent(socket, &[]));
        assert_eq!(said.code, Some(78), "{}", said.all());
        for words in ["no namespaces for this user", socket, "--sandbox process"] {
            assert!(said.all().contains(words), "no {words}: {}", said.all());
        }
    }
    // The control: who asks for it has it, and so has who could open nothing of power.
    for (socket, more) in [("/run/docker.sock", &["--sandbox", "process"][..]), ("/run/harmless.sock", &[])] {
        let log = host.log().join(format!("{}.log", more.len()));
        let mut agent = Child::start("agent", host.agent(socket, more), &log).unwrap();
        let looked = agent.wait_for_line("no identity", SOON);
        assert!(looked.is_ok(), "{socket}: {}", agent.log());
        assert_eq!(agent.wait(SOON).unwrap().code(), Some(77), "{}", agent.log());
        assert_eq!(agent.log().contains("act outside of its step"), socket.contains("docker"), "{}", agent.log());
    }
}

#[test]
fn doctor_says_that_no_agent_starts_and_up_starts_all_the_same() {
    let Some(host) = Host::new() else { return };
    let finding = |more: &[&str]| {
        let said = ended(host.command("/run/docker.sock", &[&["doctor", "--json"][..], more].concat()));
        let findings: serde_json::Value = serde_json::from_str(&said.out).unwrap_or_else(|_| panic!("{}", said.all()));
        findings.as_array().unwrap().iter().find(|finding| finding["subject"] == "sockets").cloned().unwrap()
    };
    let refused = finding(&[]);
    assert_eq!(refused["verdict"], "fail", "{refused}");
    assert!(refused["message"].as_str().unwrap().contains("--sandbox process"), "{refused}");
    assert_eq!(finding(&["--sandbox", "process"])["verdict"], "warn");
    let state = host.home.path().join("up").display().to_string();
    let up = host.command("/run/docker.sock", &["up", "--listen", "127.0.0.1:0", "--state-dir", &state]);
    let mut up = Child::start("up", up, &host.log().join("up.log")).unwrap();
    up.wait_for_line("act outside of its step", SOON).unwrap();
    up.wait_for_line("session opened", SOON).unwrap();
    up.stop().unwrap();
}
