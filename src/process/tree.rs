//! Everything below a process: list it, kill it, reap it.
//!
//! Rule: a process is killed only after a pidfd to it was opened and its start time was seen again through it, or while it
//! is a child that nobody can reap meanwhile, so that a reused number is never hit. A zombie is dead, but not one whose
//! first thread alone has ended.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, getpid, kill_process, pidfd_open, pidfd_send_signal, waitid,
};

/// How long to wait between two looks at a tree that is being killed.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// One process as `/proc/PID/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: Pid,
    /// Its parent's number, 0 if the parent is outside of our PID namespace.
    pub parent: i32,
    /// Whether it has ended and waits to be reaped: all of it, since a process whose first thread has ended while another
    /// goes on is shown as a zombie too.
    pub is_zombie: bool,
    /// When it started, in clock ticks since boot: tells two processes with one number apart.
    pub started: u64,
}

/// Looks one process up; `None` if there is none (any more).
pub fn look_up(pid: Pid) -> Option<Process> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Reads `pid (name) state ppid pgrp session … starttime`; the name may hold blanks and brackets (proc(5)).
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_name, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    let parent = fields.next()?.parse().ok()?;
    let threads: u32 = fields.nth(15)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Process {
        pid: Pid::from_raw(pid.parse().ok()?)?,
        parent,
        is_zombie: matches!(state, "Z" | "X") && threads <= 1,
        started,
    })
}

/// The children of `parent`, zombies too. One may be missing when another is reaped meanwhile (proc(5)).
pub fn children(parent: Pid) -> Vec<Process> {
    of_parent(parent, listed_children(parent).unwrap_or_else(every_process))
}

/// The same from a look at every process there is: slower, and whoever is a child from beginning to end is seen.
pub fn all_children(parent: Pid) -> Vec<Process> {
    of_parent(parent, every_process())
}

/// The numbers alone, also of those that may not be looked at: where `/proc` hides what this user may not trace
/// (`hidepid=invisible`), a process that made itself undumpable is not there, but its parent's list has it.
pub fn child_numbers(parent: Pid) -> Vec<Pid> {
    let looked_at = || all_children(parent).into_iter().map(|process| process.pid).collect();
    listed_children(parent).unwrap_or_else(looked_at)
}

/// Whether `/proc` can be read at all; without descriptors it cannot, and then no list says anything.
fn can_list() -> bool {
    fs::read_dir("/proc/self/task").is_ok()
}

fn of_parent(parent: Pid, pids: Vec<Pid>) -> Vec<Process> {
    pids.into_iter().filter_map(look_up).filter(|process| process.parent == parent.as_raw_pid()).collect()
}

/// `/proc/PID/task/*/children`; `None` on a kernel without it (`CONFIG_PROC_CHILDREN`).
fn listed_children(parent: Pid) -> Option<Vec<Pid>> {
    let mut pids = Vec::new();
    let Ok(tasks) = fs::read_dir(format!("/proc/{parent}/task")) else {
        return Some(pids);
    };
    let mut is_supported = true;
    for task in tasks.flatten() {
        match fs::read_to_string(task.path().join("children")) {
            Ok(list) => pids.extend(list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?))),
            // Either this thread has just ended, or the file does not exist at all.
            Err(_) => is_supported &= !task.path().exists(),
        }
    }
    is_supported.then_some(pids)
}

fn every_process() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// Everything below `root`, nearest first, zombies too. A moment's picture: what is forked meanwhile may be missing.
pub fn descendants(root: Pid) -> Vec<Process> {
    let mut found = children(root);
    let mut seen: BTreeSet<i32> = found.iter().map(|process| process.pid.as_raw_pid()).collect();
    let mut next = 0;
    while let Some(process) = found.get(next).copied() {
        next += 1;
        found.extend(children(process.pid).into_iter().filter(|child| seen.insert(child.pid.as_raw_pid())));
    }
    found
}

/// Sends SIGKILL to `process` if it is still the same one. Says whether it was.
pub fn kill(process: &Process) -> bool {
    let Ok(pidfd) = pidfd_open(process.pid, PidfdFlags::empty()) else {
        return false;
    };
    let is_same = look_up(process.pid).is_some_and(|now| now.started == process.started && !now.is_zombie);
    is_same && pidfd_send_signal(pidfd, Signal::KILL).is_ok()
}

/// What a kill of many did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Killed {
    /// How many processes got the signal.
    pub killed: u32,
    /// How many were alive when patience ended: in a state in which the kernel does not let them die.
    pub survivors: u32,
}

/// What one look at processes that are to die has found.
#[derive(Default)]
struct Look {
    /// How many live, and got the signal.
    alive: u32,
    /// How many had ended that were not known to: what they had started is somewhere else by now, and maybe was not
    /// there yet when it was looked for.
    ended: u32,
}

/// Looks again and again, until a look finds nothing or `patience` is over. `look` remembers whom it has hit.
fn until_nothing(patience: Duration, mut look: impl FnMut(&mut BTreeSet<i32>) -> Look) -> Killed {
    let (mut hit, mut end) = (BTreeSet::new(), None);
    loop {
        let Look { alive, ended } = look(&mut hit);
        // From the first look on, which may have had to wait, so that there is always a second.
        let end = *end.get_or_insert_with(|| Instant::now() + patience);
        let is_over = alive == 0 && ended == 0;
        if is_over || Instant::now() >= end {
            // Who dies faster than it can be looked at may have left another.
            let survivors = if is_over { 0 } else { alive.max(1) };
            return Killed { killed: count(hit.len()), survivors };
        }
        if alive > 0 {
            std::thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Kills everything below `root`, not `root` itself.
pub fn kill_descendants(root: Pid, patience: Duration) -> Killed {
    kill_listed(patience, || descendants(root))
}

fn kill_listed(patience: Duration, mut list: impl FnMut() -> Vec<Process>) -> Killed {
    let mut known = BTreeSet::new();
    until_nothing(patience, |hit| {
        let (zombies, alive): (Vec<Process>, Vec<Process>) = list().into_iter().partition(|process| process.is_zombie);
        hit.extend(alive.iter().filter(|process| kill(process)).map(|process| process.pid.as_raw_pid()));
        let before = std::mem::take(&mut known);
        known.extend(zombies.iter().map(|zombie| (zombie.pid.as_raw_pid(), zombie.started)));
        Look { alive: count(alive.len()), ended: count(known.difference(&before).count()) }
    })
}

/// Kills and reaps children of this process, which is the reaper of what they leave, and what can be seen below them:
/// the rest comes as they die. `list` gives their numbers, with a guard: while that lives, nobody else may reap them, so
/// that each number is its child's and no other's, and needs no pidfd.
pub fn kill_children<G>(patience: Duration, mut list: impl FnMut() -> (G, Vec<Pid>)) -> Killed {
    until_nothing(patience, |hit| {
        let (_guard, children) = list();
        // Who knows who is there.
        let mut look = Look { alive: u32::from(children.is_empty() && !can_list()), ended: 0 };
        for child in children {
            match reap(child) {
                Reaped::Yes => look.ended += 1,
                Reaped::NotOurs => {}
                Reaped::Lives => {
                    look.alive += 1;
                    let below = descendants(child);
                    if kill_process(child, Signal::KILL).is_ok() {
                        hit.insert(child.as_raw_pid());
                    }
                    let killed = below.iter().filter(|process| !process.is_zombie && kill(process));
                    hit.extend(killed.map(|process| process.pid.as_raw_pid()));
                }
            }
        }
        look
    })
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Reaps the ended children of this process, all but `spared`, whose status is not ours to take.
pub fn reap_children(spared: Option<Pid>) {
    for child in children(getpid()) {
        if child.is_zombie && Some(child.pid) != spared {
            reap(child.pid);
        }
    }
}

/// Whether this process has any child at all, alive or not. Exact: below a subreaper, no child means no descendant.
pub fn has_children() -> bool {
    let peek = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::All, peek), Err(Errno::CHILD))
}

/// What became of a child that was to be reaped.
enum Reaped {
    Yes,
    Lives,
    NotOurs,
}

/// Takes the status of one child if it has ended.
fn reap(pid: Pid) -> Reaped {
    match waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
        Ok(Some(_)) => Reaped::Yes,
        Ok(None) | Err(Errno::INTR) => Reaped::Lives,
        Err(_) => Reaped::NotOurs,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rustix::process::getpid;

    use super::{
        Process, all_children, child_numbers, children, descendants, kill_children, kill_descendants, kill_listed,
        look_up, parse_stat,
    };
    use crate::process::{CommandLine, ExitReason, spawn};

    #[test]
    fn a_name_with_blanks_and_brackets_is_read_over() {
        let stat = "42 (a) b (c) S 7 42 41 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 1000 10";
        let process = parse_stat(stat).unwrap();
        assert_eq!((process.pid.as_raw_pid(), process.parent), (42, 7));
        assert_eq!((process.started, process.is_zombie), (12345, false));
        let zombie = stat.replace(" S ", " Z ");
        assert!(parse_stat(&zombie).unwrap().is_zombie);
        // Its first thread has ended, another goes on.
        assert!(!parse_stat(&zombie.replace(" 20 0 1 0 ", " 20 0 2 0 ")).unwrap().is_zombie);
        assert!(parse_stat("garbage").is_none());
        assert!(parse_stat("").is_none());
    }

    #[test]
    fn this_process_finds_itself() {
        assert_eq!(look_up(getpid()).unwrap().pid, getpid());
    }

    #[test]
    fn what_a_process_left_that_died_while_it_was_looked_at_is_looked_for_again() {
        let mut line = CommandLine::new("/bin/sleep");
        line.arguments = vec!["600".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        let left = look_up(child.pid()).unwrap();
        // Nobody of the first list is alive, but it was made before what the zombie left became a child of another.
        let zombie = Process { pid: getpid(), is_zombie: true, ..left };
        let mut lists = vec![vec![zombie], vec![zombie, left], vec![zombie]].into_iter();
        let killed = kill_listed(Duration::from_secs(10), || lists.next().unwrap());
        assert_eq!((killed.killed, killed.survivors, lists.len()), (1, 0, 0));
        assert_eq!(child.wait().unwrap(), ExitReason::Signal(9));
    }

    #[test]
    fn children_are_killed_with_what_can_be_seen_below_them_and_reaped() {
        let mut line = CommandLine::new("/bin/sh");
        line.arguments = vec!["-c".into(), "sleep 600 & sleep 600 & wait".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        while descendants(child.pid()).len() < 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        let below = descendants(child.pid());
        // A child of another, and a number that nobody has, are left alone.
        let numbers = [child.pid(), below[0].pid, rustix::process::Pid::from_raw(i32::MAX).unwrap()];
        let killed = kill_children(Duration::from_secs(10), || ((), numbers.to_vec()));
        assert_eq!((killed.killed, killed.survivors), (3, 0));
        assert!(look_up(child.pid()).is_none() && child.wait().is_err(), "it is not reaped");
        for process in below {
            assert!(look_up(process.pid).is_none_or(|now| now.is_zombie || now.started != process.started));
        }
    }

    #[test]
    fn both_ways_of_listing_show_the_same_child() {
        let mut line = CommandLine::new("/bin/sleep");
        line.arguments = vec!["600".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        for list in [children, all_children] {
            assert!(list(getpid()).iter().any(|process| process.pid == child.pid()));
        }
        assert!(child_numbers(getpid()).contains(&child.pid()));
        child.signal(rustix::process::Signal::KILL).unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_tree_is_killed_below_its_root() {
        let mut line = CommandLine::new("/bin/sh");
        line.arguments = vec!["-c".into(), "(sleep 600 & sleep 600) & sleep 600 & wait; exit 5".into()];
        let child = spawn(line.command().unwrap()).unwrap();
        for _ in 0..1000 {
            if descendants(child.pid()).len() >= 3 {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let killed = kill_descendants(child.pid(), Duration::from_secs(10));
        assert_eq!(killed.survivors, 0);
        assert!(killed.killed >= 3, "{killed:?}");
        assert_eq!(child.wait().unwrap(), ExitReason::Code(5));
    }
}
