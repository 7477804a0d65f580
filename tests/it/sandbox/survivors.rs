//! A process that the kernel does not let die, as one that waits for a broken disk: here one in a frozen group.

#![expect(clippy::print_stdout, reason = "what was skipped is said")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use nigari::sandbox::StepError;

use super::{Place, launcher, wait_until};

/// A group of the freezer of cgroup v1, in which not even SIGKILL is heard; that of v2 lets processes die.
struct Freezer(PathBuf);

impl Freezer {
    /// `None` where there is none, which only some hosts have: that is said, and is no failure anywhere.
    fn make() -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let line = mounts.lines().find(|line| line.contains(" - cgroup ") && line.contains("freezer"));
        let group = line.map(|line| {
            let name = format!("nigari-test-{}", support::child::random_hex(4));
            PathBuf::from(line.split(' ').nth(4).unwrap_or_default()).join(name)
        });
        let made = group.filter(|group| fs::create_dir(group).is_ok());
        if made.is_none() {
            println!("skipped: needs the freezer of cgroup v1, and the right to use it");
        }
        made.map(Self)
    }

    fn freeze(&self, process: i32) {
        fs::write(self.0.join("cgroup.procs"), process.to_string()).unwrap();
        fs::write(self.0.join("freezer.state"), "FROZEN").unwrap();
        let state = || fs::read_to_string(self.0.join("freezer.state")).unwrap();
        wait_until("it is frozen", || state().trim() == "FROZEN");
    }
}

impl Drop for Freezer {
    fn drop(&mut self) {
        let _ = fs::write(self.0.join("freezer.state"), "THAWED");
        for _ in 0..1000 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

#[tokio::test]
async fn a_wipe_is_not_verified_while_a_process_of_the_step_does_not_die() {
    for place in Place::each() {
        let Some(freezer) = Freezer::make() else { return };
        let script = "cat $SECRETS/docker/config.json > /dev/null; setsid sleep 600 & while [ ! -e go ]; do sleep 0.02; done; exit 0";
        let mut step = launcher().start(place.shell_with_secret(script)).await.unwrap();
        let sleeps = |process: &i32| {
            fs::read(format!("/proc/{process}/cmdline")).is_ok_and(|line| line.starts_with(b"sleep\x00600"))
        };
        wait_until("the process", || place.alive().iter().any(sleeps));
        freezer.freeze(place.alive().into_iter().find(sleeps).unwrap());
        fs::write(place.path("go"), "").unwrap();
        let end = step.wait().await;
        let Err(StepError::WipeUnverified { detail, .. }) = end else { panic!("{:?}: {end:?}", place.sandbox) };
        assert!(detail.contains("does not let"), "{detail}");
        drop(freezer);
        wait_until("its death", || place.alive().is_empty());
    }
}
