//! Processes that cannot be looked at: `/proc` hides what a user may not trace, and a process that cannot be dumped may not
//! be traced, even by its own user.

use std::fs;
use std::time::Duration;

use nigari::sandbox::Sandbox;
use rustix::process::{Signal, kill_process};

use super::agent_process::{self, Programs, User};
use super::death::launcher_of;
use super::{Place, wait_until};

/// Leaves such a process: the kernel makes it of a program that its user cannot read.
const LEAVES_ONE: &str = "cat /bin/sh > hidden && chmod 0111 hidden && \
                          { setsid ./hidden -c 'while :; do echo . >> beats; sleep 0.01; done' & }; \
                          while [ ! -s beats ]; do sleep 0.01; done; \
                          if [ -r /proc/$!/stat ]; then echo visible > seen; fi; echo > ready;";

/// Whether it still goes on.
fn lives(place: &Place) -> bool {
    let beats = || fs::metadata(place.path("beats")).unwrap().len();
    let before = beats();
    std::thread::sleep(Duration::from_millis(300));
    beats() > before
}

#[test]
fn what_cannot_be_looked_at_is_dead_when_the_step_is_over_or_its_launcher_was_killed() {
    if !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    for is_killed in [false, true] {
        for place in Place::each() {
            let script = format!("{LEAVES_ONE} {}", if is_killed { "sleep 600" } else { "exit 0" });
            let launch = place.given_to_nobody(place.shell_with_secret(&script));
            let agent = agent_process::start_hidden(launch, place.run.path(), &programs);
            if is_killed {
                wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
                assert!(lives(&place));
                kill_process(launcher_of(&place), Signal::KILL).unwrap();
            }
            wait_until("the agent has an end", || place.path("ended").exists());
            let end = fs::read_to_string(place.path("ended")).unwrap();
            assert!(!lives(&place), "{:?}, killed: {is_killed}: it lives", place.sandbox);
            assert!(end.contains("survivors: 0"), "{:?}: {end}", place.sandbox);
            // In `namespace` the kernel kills it, and the step has a `/proc` of its own.
            if place.sandbox == Sandbox::Process {
                assert!(!end.contains("leftovers: 0"), "{end}");
                assert!(!place.path("seen").exists(), "it was not hidden at all");
            }
            agent.wait().unwrap();
        }
    }
}
