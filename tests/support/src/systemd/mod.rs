//! A booted systemd in a container (`systemd-nspawn`), for units as a host would have them.
//!
//! Rule: a throw-away overlay over a root file system that nobody writes to, the host's network, and a control group
//! of its own, so that nothing of it outlives the test. Only what the host's root could type is done in it.

mod group;
mod rootfs;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, kill_process};
use tempfile::TempDir;

use self::group::Group;
pub use self::rootfs::find_or_make as root_file_system;
use crate::child::{Child, Finished, Signal, command, find_program, read_text, run, tail};
use crate::failure::{During as _, Failure, Outcome};
use crate::require;

/// How long booting may take; on a quiet machine it is less than a second.
const BOOT: Duration = Duration::from_mins(1);
/// How long nspawn may take to notice that the machine is gone.
const END: Duration = Duration::from_secs(10);
/// How long a command in it may take, in seconds.
const COMMAND: &str = "180";

/// A booted machine. Dropping it ends it and everything in it.
#[derive(Debug)]
pub struct Machine {
    nspawn: Child,
    /// The host's number of its first process.
    leader: u32,
    group: Group,
    _place: TempDir,
}

impl Machine {
    /// Boots one that has these programs of the host at these paths of its own; `None` after having said what is
    /// missing.
    pub fn boot(programs: &[(&Path, &str)]) -> Option<Self> {
        if !require::root() {
            return None;
        }
        for (program, package) in [("systemd-nspawn", "systemd-container"), ("nsenter", "util-linux")] {
            if find_program(program).is_none() {
                require::missing(&format!("{program} (Debian: {package})"));
                return None;
            }
        }
        match root_file_system().and_then(|root| Self::start(&root, programs)) {
            Ok(machine) => Some(machine),
            Err(failure) => {
                require::missing(&format!("a host on which systemd boots in a container: {failure}"));
                None
            }
        }
    }

    fn start(root: &Path, programs: &[(&Path, &str)]) -> Outcome<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let group = Group::make(&MADE.fetch_add(1, Ordering::Relaxed).to_string())?;
        let place = tempfile::tempdir().during("place of a machine")?;
        // The shell puts itself into the group before it becomes nspawn.
        let enter = "for door in $DOORS; do echo $$ >$door || exit 1; done; exec systemd-nspawn \"$@\"";
        let doors = group.doors().iter().map(|door| door.display().to_string()).collect::<Vec<_>>().join(" ");
        let mut nspawn = command("sh");
        nspawn.env("DOORS", doors).args(["-c", enter, "sh", "--quiet", "--boot", "--volatile=overlay"]);
        // Its own list is older than Landlock; a machine's services have what the kernel has.
        nspawn.arg("--system-call-filter=landlock_create_ruleset landlock_add_rule landlock_restrict_self");
        nspawn.args(["--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off"]);
        nspawn
            .arg("--console=pipe")
            .arg(format!("--machine={}", group.name()))
            .arg(format!("--directory={}", root.display()));
        nspawn.args(programs.iter().map(|(from, to)| format!("--bind-ro={}:{to}", from.display())));
        let nspawn = Child::start("systemd-nspawn", nspawn, &place.path().join("console"))?;
        let mut machine = Self { nspawn, leader: 0, group, _place: place };
        machine.wait_for("systemd", |machine| {
            machine.leader = machine.find_leader().unwrap_or(0);
            machine.leader != 0
        })?;
        machine.wait_for("the end of booting", |machine| {
            let state = machine.run(&["systemctl", "is-system-running"]).map(|said| said.out).unwrap_or_default();
            ["running", "degraded"].contains(&state.trim())
        })?;
        Ok(machine)
    }

    fn find_leader(&self) -> Option<u32> {
        let nspawn = self.nspawn.pid();
        let children = read_text(Path::new(&format!("/proc/{nspawn}/task/{nspawn}/children")));
        let leader = children.split_whitespace().next()?.parse().ok()?;
        (read_text(Path::new(&format!("/proc/{leader}/comm"))).trim() == "systemd").then_some(leader)
    }

    fn wait_for(&mut self, what: &str, mut is_so: impl FnMut(&mut Self) -> bool) -> Outcome<()> {
        let begun = Instant::now();
        while !is_so(self) {
            if self.nspawn.ended()?.is_some() || begun.elapsed() > BOOT {
                return Err(Failure::new(format!("no {what}:\n{}", tail(&self.nspawn.log()))));
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A command in it, as its root, with an empty environment; ended by force after three minutes.
    pub fn command(&self, words: &[&str]) -> Command {
        let mut inside = command("nsenter");
        inside.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        inside.args(["--all", "--target", &self.leader.to_string(), "--", "timeout", "--signal=KILL", COMMAND]);
        inside.args(words);
        inside
    }

    /// Runs a command in it to its end, whatever its exit code.
    pub fn run(&self, words: &[&str]) -> Outcome<Finished> {
        run(self.command(words))
    }

    /// Runs a shell's line in it and gives what it wrote to stdout.
    ///
    /// # Errors
    /// When its exit code is not 0.
    pub fn shell(&self, line: &str) -> Outcome<String> {
        Ok(self.run(&["sh", "-c", line])?.succeeded().during(line)?.out)
    }

    /// Where the host sees a path of its own.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.leader))
    }

    /// Writes a file of root's, readable by all, and the directories above it.
    pub fn write(&self, inside: &str, text: &str) -> Outcome<()> {
        let path = self.path(inside);
        fs::create_dir_all(path.parent().unwrap_or(&path)).during(path.display())?;
        fs::write(&path, text).during(path.display())
    }

    /// The value of a unit's property.
    pub fn property(&self, unit: &str, name: &str) -> Outcome<String> {
        let said = self.run(&["systemctl", "show", "--value", "--property", name, unit])?.succeeded()?;
        Ok(said.out.trim().to_owned())
    }

    /// Everything in the journal, of one unit if it is named, with what systemd says of it.
    pub fn journal(&self, unit: Option<&str>) -> Outcome<String> {
        let unit = unit.map(|unit| format!("--unit={unit}"));
        let mut words = vec!["journalctl", "--no-pager", "--all", "--output=short-precise"];
        words.extend(unit.as_deref());
        Ok(self.run(&words)?.succeeded()?.out)
    }

    /// Its processes, by the host's numbers.
    pub fn processes(&self) -> Vec<u32> {
        let mut found = vec![self.leader];
        let mut next = 0;
        while let Some(pid) = found.get(next).copied() {
            let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            for thread in threads {
                let children = read_text(&thread.path().join("children"));
                found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
            }
            next += 1;
        }
        found
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // No power-off: that would wait for services that take their time, and nothing is kept anyway. All others die
        // with the first process; nspawn sees it and cleans up.
        if let Some(leader) = i32::try_from(self.leader).ok().and_then(Pid::from_raw)
            && self.nspawn.ended().is_ok_and(|ended| ended.is_none())
        {
            let _ = kill_process(leader, Signal::KILL);
            let _ = self.nspawn.wait(END);
        }
        let _ = self.nspawn.stop();
        // nspawn leaves it behind where it may not remove it.
        let _ = fs::remove_dir_all(Path::new("/run/systemd/nspawn/propagate").join(self.group.name()));
    }
}
