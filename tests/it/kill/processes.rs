//! The processes of one world, known by its directory in their command line or environment.
//!
//! Rule: a zombie is dead. Nothing of another world is ever touched.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use support::search::contains;

/// What a process is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Agent,
    Launcher,
    Init,
    /// A step that must not outlive its agent, or something that it started.
    Early,
    /// `plan`, `show`, `apply`.
    Late,
}

impl Role {
    /// Whether it is a step, or of one.
    pub(super) fn is_of_step(self) -> bool {
        matches!(self, Self::Early | Self::Late)
    }
}

/// A living process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Process {
    pub(super) pid: Pid,
    pub(super) role: Role,
    pub(super) is_apply: bool,
    /// The step's process, not something that it started.
    pub(super) is_step: bool,
    pub(super) is_stopped: bool,
}

/// Everything that lives and names `mark`, server and commands left out.
pub(super) fn of(mark: &Path) -> Vec<Process> {
    let mark = mark.as_os_str().as_encoded_bytes();
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| look(entry.file_name().to_str()?.parse().ok()?, mark)).collect()
}

fn look(number: i32, mark: &[u8]) -> Option<Process> {
    let directory = format!("/proc/{number}");
    let line = fs::read(format!("{directory}/cmdline")).ok()?;
    // A zombie has none.
    if line.is_empty() {
        return None;
    }
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let has = |word: &str| words.contains(&word.as_bytes());
    let names = |bytes: &[u8]| contains(bytes, mark);
    let environment = || fs::read(format!("{directory}/environ")).unwrap_or_default();
    let (role, is_apply, is_step) = if names(&line) && has("__launcher") {
        (Role::Launcher, false, false)
    } else if names(&line) && has("__init") {
        (Role::Init, false, false)
    } else if names(&line) && has("agent") && has("start") {
        (Role::Agent, false, false)
    } else if has("server") || has("__launcher") || has("__init") {
        return None;
    } else {
        let environment = environment();
        if !names(&environment) && !names(&line) {
            return None;
        }
        let is = |step: &str| {
            let inherited = format!("STUB_STEP={step}");
            has(step) || environment.split(|byte| *byte == 0).any(|entry| entry == inherited.as_bytes())
        };
        let is_step = ["get", "init", "plan", "show", "apply"].into_iter().any(has);
        (if is("get") || is("init") { Role::Early } else { Role::Late }, is("apply"), is_step)
    };
    let stat = fs::read_to_string(format!("{directory}/stat")).ok()?;
    let state = stat.rsplit_once(") ")?.1.chars().next()?;
    let pid = Pid::from_raw(number)?;
    (state != 'Z').then_some(Process { pid, role, is_apply, is_step, is_stopped: matches!(state, 'T' | 't') })
}

/// SIGSTOP; one that has just ended is no error.
pub(super) fn stop(process: Process) {
    let _ = kill_process(process.pid, Signal::STOP);
}

/// SIGKILL; one that has just ended is no error.
pub(super) fn kill(process: Process) {
    let _ = kill_process(process.pid, Signal::KILL);
}
