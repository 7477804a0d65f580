//! A step that tries what a hostile configuration would: twelve ways to what is not its own (`security.md`, T2).
//!
//! Rule: the same script is run outside of every sandbox first. What it cannot open there proves nothing inside.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::time::Duration;

use nigari::process::{capture, spawn};
use nigari::sandbox::Launch;
use rustix::process::Signal;

use super::agent_process::{self, NOBODY, Programs, User};
use super::{Place, wait_until};

/// Says `open NAME` for everything that is. `$VICTIM` is a process of the same user, `$FILE` a file of the agent's.
const SCRIPT: &str = r#"
try() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "open $name"; fi; }
at=/proc/$VICTIM
first() { test -n "$(head -c 1 "$1" | od -An -tx1)"; }
try environ first $at/environ
try maps first $at/maps
try auxv first $at/auxv
try mem sh -c "exec 3<$at/mem"
try descriptors readlink $at/fd/0
try cwd readlink $at/cwd
try root readlink $at/root
try exe readlink $at/exe
try signal kill -0 $VICTIM
try ptrace perl -e 'exit(syscall(101, 16, $ENV{VICTIM} + 0, 0, 0) == 0 ? 0 : 1)'
try vm perl -e '
  my $to = "\0" x 8; my $address = hex($ENV{ADDRESS});
  my $local = pack("QQ", unpack("Q", pack("P", $to)), 8); my $remote = pack("QQ", $address, 8);
  exit(syscall(310, $ENV{VICTIM} + 0, $local, 1, $remote, 1, 0) == 8 ? 0 : 1)'
try file first $FILE
echo end
"#;

const PROBES: [&str; 12] =
    ["environ", "maps", "auxv", "mem", "descriptors", "cwd", "root", "exe", "signal", "ptrace", "vm", "file"];

/// Something that a step has no business with.
struct Victim {
    process: nigari::process::Child,
    state: tempfile::TempDir,
    user: User,
}

impl Victim {
    fn start(user: User) -> Self {
        let state = tempfile::tempdir().unwrap();
        fs::write(state.path().join("identity"), "secret").unwrap();
        if user == User::Nobody {
            for path in [state.path().to_owned(), state.path().join("identity")] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let mut line = agent_process::line_as(user, Path::new("/bin/sleep"));
        line.arguments.push("600".into());
        line.environment.push(("CANARY".into(), "x".into()));
        let process = spawn(line.command().unwrap()).unwrap();
        let victim = Self { process, state, user };
        wait_until("the victim is itself", || {
            fs::read_to_string(format!("/proc/{}/comm", victim.process.pid())).is_ok_and(|name| name == "sleep\n")
        });
        victim
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.process.pid())).unwrap();
        let address = maps.split('-').next().unwrap().to_owned();
        let file = self.state.path().join("identity").display().to_string();
        vec![("VICTIM", self.process.pid().to_string()), ("ADDRESS", address), ("FILE", file)]
    }

    /// What is open without a sandbox.
    fn control(&self) -> String {
        let mut line = agent_process::line_as(self.user, Path::new("/bin/sh"));
        line.arguments.extend(["-c".into(), SCRIPT.into()]);
        line.environment = self.variables().into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        line.environment.push(("PATH".into(), "/usr/bin:/bin".into()));
        let captured = capture(&line, Duration::from_mins(1), 1 << 16).unwrap();
        String::from_utf8(captured.stdout).unwrap()
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        let _ = self.process.signal(Signal::KILL);
    }
}

fn launch(place: &Place, victim: &Victim) -> Launch {
    let mut launch = place.shell(&format!("{{ {SCRIPT} }} > found"));
    launch.view.hidden.push(victim.state.path().to_owned());
    for (name, value) in victim.variables() {
        launch.environment.set(name, value).unwrap();
    }
    launch
}

#[test]
fn what_is_open_to_every_process_of_the_user_is_closed_to_a_step() {
    if support::require::program("perl").is_none() {
        return;
    }
    let programs = Programs::make();
    for user in agent_process::users() {
        let victim = Victim::start(user);
        let control = victim.control();
        // A host with Yama keeps some of it even from the user's other processes.
        let yama = Path::new("/proc/sys/kernel/yama").exists();
        let open: Vec<&str> = control.lines().filter_map(|line| line.strip_prefix("open ")).collect();
        assert!(yama || open == PROBES, "{user:?}: the control shows {control}");
        for place in Place::each() {
            let launch = launch(&place, &victim);
            let agent = match user {
                User::Ours => agent_process::start(launch, place.run.path()),
                User::Nobody => {
                    agent_process::start_as_nobody(place.given_to_nobody(launch), place.run.path(), &programs)
                }
            };
            wait_until("the agent has an end", || place.path("ended").exists());
            agent.wait().unwrap();
            let found = fs::read_to_string(place.path("found")).unwrap();
            assert_eq!(found, "end\n", "{user:?} in {:?}", place.sandbox);
        }
    }
}
