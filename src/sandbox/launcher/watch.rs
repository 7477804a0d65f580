//! Watches the step's process until it and everything below it is gone.
//!
//! Rule: as long as the agent lives it alone reads the output; when it is gone the launcher reads and throws away, so
//! that the process never gets SIGPIPE and never stops at a full pipe.

use std::fs;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::connection::{Connection, Heard};
use super::running::Running;
use super::secret_directory::Secrets;
use crate::process::{Escalation, ExitReason, Force, Grace, tree};
use crate::sandbox::protocol::{Exited, ToLauncher, WhenAgentDies};

/// Between the second SIGINT and the kill, when the agent is gone.
const LAST_GRACE: Duration = Duration::from_mins(1);

/// How often orphans that have ended are reaped meanwhile.
const REAP_EVERY: Duration = Duration::from_secs(5);

/// One step while it runs.
struct Watch<'a> {
    connection: &'a mut Connection,
    running: Running,
    when_agent_dies: WhenAgentDies,
    is_agent_gone: bool,
    escalation: Option<Escalation>,
    was_killed: bool,
    /// Read ends; empty when they are at their end.
    outputs: [Option<OwnedFd>; 2],
}

/// What a poll found ready.
struct Ready {
    has_ended: bool,
    is_heard: bool,
    outputs: [bool; 2],
}

/// Returns when nothing of the step is alive. Wipes `made` as soon as the agent is gone.
pub(super) fn watch(
    connection: &mut Connection,
    running: Running,
    when_agent_dies: WhenAgentDies,
    outputs: [OwnedFd; 2],
    made: &mut Option<Secrets>,
) -> Exited {
    let kills_before = oom_kills();
    let mut watch = Watch {
        connection,
        running,
        when_agent_dies,
        is_agent_gone: false,
        escalation: None,
        was_killed: false,
        outputs: outputs.map(Some),
    };
    loop {
        let ready = watch.wait();
        if ready.has_ended {
            break;
        }
        watch.drain(ready.outputs);
        if ready.is_heard {
            watch.hear(made);
        }
        watch.escalate();
        if !ready.is_heard && ready.outputs == [false; 2] {
            tree::reap_children(Some(watch.running.child()));
        }
    }
    watch.finish(kills_before)
}

impl Watch<'_> {
    fn wait(&self) -> Ready {
        let deadline = self.escalation.as_ref().and_then(Escalation::deadline);
        let left = deadline.map_or(REAP_EVERY, |deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.min(REAP_EVERY);
        let timeout = Timespec { tv_sec: left.as_secs().try_into().unwrap_or(0), tv_nsec: left.subsec_nanos().into() };
        let mut polled = vec![PollFd::from_borrowed_fd(self.running.pidfd(), PollFlags::IN)];
        let mut places = Vec::new();
        if self.is_agent_gone {
            for (place, output) in self.outputs.iter().enumerate() {
                if let Some(output) = output {
                    polled.push(PollFd::new(output, PollFlags::IN));
                    places.push(place);
                }
            }
        } else {
            polled.push(PollFd::from_borrowed_fd(self.connection.as_fd(), PollFlags::IN));
        }
        // Interrupted or out of memory: nothing is ready, and the loop comes back.
        let count = poll(&mut polled, Some(&timeout)).unwrap_or(0);
        let mut is_ready = polled.iter().map(|polled| count > 0 && !polled.revents().is_empty());
        let mut ready = Ready { has_ended: is_ready.next().unwrap_or(false), is_heard: false, outputs: [false; 2] };
        if self.is_agent_gone {
            for (place, is_ready) in places.into_iter().zip(is_ready) {
                if let Some(output) = ready.outputs.get_mut(place) {
                    *output = is_ready;
                }
            }
        } else {
            ready.is_heard = is_ready.next().unwrap_or(false);
        }
        ready
    }

    fn drain(&mut self, ready: [bool; 2]) {
        let mut thrown_away = [0; 16 * 1024];
        for (output, _) in self.outputs.iter_mut().zip(ready).filter(|(_, is_ready)| *is_ready) {
            let Some(pipe) = output else { continue };
            match rustix::io::read(&*pipe, &mut thrown_away) {
                Ok(0) => *output = None,
                Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
                Err(_) => *output = None,
            }
        }
    }

    fn hear(&mut self, made: &mut Option<Secrets>) {
        match self.connection.hear() {
            Heard::Nothing | Heard::Message(ToLauncher::Launch(_)) => {}
            Heard::Message(ToLauncher::Interrupt) => self.apply(Force::Interrupt),
            Heard::Message(ToLauncher::Cancel(grace)) => {
                self.escalation = Some(Escalation::begin(grace, Instant::now()));
            }
            Heard::Message(ToLauncher::Kill) => self.apply(Force::Kill),
            Heard::Gone => {
                self.is_agent_gone = true;
                self.outlive_agent(made);
            }
        }
    }

    /// What the agent cannot do any more.
    fn outlive_agent(&mut self, made: &mut Option<Secrets>) {
        match self.when_agent_dies {
            WhenAgentDies::Kill => self.apply(Force::Kill),
            // One that the agent began goes on.
            WhenAgentDies::Interrupt { .. } if self.escalation.is_some() => {}
            WhenAgentDies::Interrupt { wait } => {
                let grace = Grace { first: wait, second: LAST_GRACE };
                self.escalation = Some(Escalation::begin(grace, Instant::now()));
            }
        }
        if let Some(made) = made.take() {
            // Nobody is left to be told; the next agent's sweep looks again.
            let _ = made.wipe();
        }
    }

    fn escalate(&mut self) {
        if let Some(force) = self.escalation.as_mut().and_then(|escalation| escalation.due(Instant::now())) {
            self.apply(force);
        }
    }

    fn apply(&mut self, force: Force) {
        match force {
            Force::Interrupt => self.running.signal(Signal::INT),
            Force::Kill => {
                self.was_killed = true;
                self.running.kill();
            }
        }
    }

    fn finish(self, kills_before: Option<u64>) -> Exited {
        let (exit, killed) = self.running.finish();
        let was_short = kills_before.zip(oom_kills()).is_some_and(|(before, after)| after > before);
        let out_of_memory = exit == ExitReason::Signal(Signal::KILL.as_raw()) && !self.was_killed && was_short;
        Exited { exit, out_of_memory, leftovers: killed.killed, survivors: killed.survivors }
    }
}

/// How many processes the kernel of this host killed for want of memory since boot, of any cgroup (`/proc/vmstat`).
fn oom_kills() -> Option<u64> {
    let counters = fs::read_to_string("/proc/vmstat").ok()?;
    counters.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}
