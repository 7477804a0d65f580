//! Who is asking on the socket.
//!
//! Rule: answered is only a process that runs our program and whose parent is the tofu of this step. All is looked up
//! while a pidfd shows that the number still means the same process; what cannot be looked up is refused.

use std::fs;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::own_program::FileId;

/// Why an asker is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Stranger {
    /// It has ended, or cannot be seen at all.
    #[error("a process that ended meanwhile")]
    Gone,
    /// Its parent is not tofu.
    #[error("a process that tofu did not start")]
    NotOfTofu,
    /// It runs something else, or what it runs cannot be seen.
    #[error("another program than nigari's credential helper")]
    OtherProgram,
}

/// A process that is still the one that it was.
#[derive(Debug)]
pub(super) struct Process {
    pid: i32,
    descriptor: OwnedFd,
    stat: Stat,
}

/// What `/proc/PID/stat` says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: i32,
    /// In clock ticks since boot: tells two processes with one number apart.
    started: u64,
}

impl Process {
    /// Opens the process that has this number now.
    pub(super) fn open(pid: i32) -> Option<Self> {
        // A process of another PID namespace has the number 0 here.
        let number = (pid > 0).then(|| Pid::from_raw(pid)).flatten()?;
        let descriptor = pidfd_open(number, PidfdFlags::empty()).ok()?;
        let process = Self { pid, descriptor, stat: look_up(pid)? };
        process.is_alive().then_some(process)
    }

    /// Whether it has not ended, so that its number is nobody else's.
    fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count == 0)
    }
}

/// Whether process `asker` may be answered in the step whose process is `tofu`.
pub(super) fn check(asker: i32, tofu: &Process, program: FileId) -> Result<(), Stranger> {
    let asker = Process::open(asker).ok_or(Stranger::Gone)?;
    if asker.stat.parent != tofu.pid || asker.stat.started < tofu.stat.started {
        return Err(Stranger::NotOfTofu);
    }
    if FileId::of(format!("/proc/{}/exe", asker.pid)).ok() != Some(program) {
        return Err(Stranger::OtherProgram);
    }
    // What was read belongs to these two only if both still live: the last look.
    if look_up(tofu.pid) == Some(tofu.stat) && tofu.is_alive() && asker.is_alive() {
        Ok(())
    } else {
        Err(Stranger::Gone)
    }
}

/// Reads `pid (name) state ppid … starttime`; the name may hold blanks and brackets (proc(5)).
fn look_up(pid: i32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Stat { parent, started })
}

#[cfg(test)]
mod tests {
    use super::{FileId, Process, Stranger, check};

    fn of_this() -> FileId {
        FileId::of("/proc/self/exe").unwrap()
    }

    fn parent() -> i32 {
        rustix::process::getppid().unwrap().as_raw_pid()
    }

    fn this() -> i32 {
        rustix::process::getpid().as_raw_pid()
    }

    #[test]
    fn a_child_with_the_program_is_taken_and_nobody_else() {
        let tofu = Process::open(parent()).unwrap();
        assert_eq!(check(this(), &tofu, of_this()), Ok(()));
        assert_eq!(check(this(), &tofu, FileId::of("/bin/sh").unwrap()), Err(Stranger::OtherProgram));
        let not_its_parent = Process::open(this()).unwrap();
        assert_eq!(check(this(), &not_its_parent, of_this()), Err(Stranger::NotOfTofu));
        assert_eq!(check(parent(), &tofu, of_this()), Err(Stranger::NotOfTofu));
        for nobody in [0, -1, i32::MAX] {
            assert_eq!(check(nobody, &tofu, of_this()), Err(Stranger::Gone), "{nobody}");
        }
    }
}
