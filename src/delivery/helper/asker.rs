//! Who is asking on the socket.
//!
//! Rule: answered is only a process that runs our program, whose parent is the tofu of this step, and which is in tofu's
//! session: git and hg are not (`sandbox/nested.rs`), whatever they become. Who has connected is taken from the kernel as
//! a pidfd at once, because a number can mean another process a moment later; all is looked up while that pidfd shows
//! that the process lives, and what cannot be looked up is refused.

use std::fs;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::sandbox::FileId;

/// Why an asker is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Stranger {
    /// It has ended, or cannot be seen at all.
    #[error("a process that ended meanwhile")]
    Gone,
    /// Its parent is not tofu.
    #[error("a process that tofu did not start")]
    NotOfTofu,
    /// It is in another session than tofu.
    #[error("what git, hg or another program of a session of its own has started")]
    OfOthersProgram,
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
    /// A process leaves its session for ever.
    session: i32,
    /// In clock ticks since boot: tells two processes with one number apart.
    started: u64,
}

impl Process {
    /// Opens the process that has this number now.
    pub(super) fn open(pid: i32) -> Option<Self> {
        // A process of another PID namespace has the number 0 here.
        let number = (pid > 0).then(|| Pid::from_raw(pid)).flatten()?;
        Self::look_at(pid, pidfd_open(number, PidfdFlags::empty()).ok()?)
    }

    /// The process that connected to `socket`, if it still lives. `number` is what the socket says of it: all that there
    /// is before Linux 6.5.
    pub(super) fn of_peer(socket: &impl AsFd, number: i32) -> Option<Self> {
        match getsockopt(socket, sockopt::PeerPidfd) {
            Ok(descriptor) => Self::look_at(number_of(&descriptor)?, descriptor),
            Err(Errno::ENOPROTOOPT) => Self::open(number),
            Err(_) => None,
        }
    }

    fn look_at(pid: i32, descriptor: OwnedFd) -> Option<Self> {
        let process = Self { pid, descriptor, stat: look_up(pid)? };
        process.is_alive().then_some(process)
    }

    /// Whether it has not ended, so that its number is nobody else's.
    fn is_alive(&self) -> bool {
        let mut ended = [PollFd::new(&self.descriptor, PollFlags::IN)];
        poll(&mut ended, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|count| count == 0)
    }
}

/// Whether `asker` may be answered in the step whose process is `tofu`.
pub(super) fn check(asker: &Process, tofu: &Process, program: FileId) -> Result<(), Stranger> {
    if asker.stat.parent != tofu.pid || asker.stat.started < tofu.stat.started {
        return Err(Stranger::NotOfTofu);
    }
    if asker.stat.session != tofu.stat.session {
        return Err(Stranger::OfOthersProgram);
    }
    if !program.is_at(format!("/proc/{}/exe", asker.pid)) {
        return Err(Stranger::OtherProgram);
    }
    // What was read belongs to these two only if both still live: the last look.
    let is_the_same = |process: &Process| look_up(process.pid) == Some(process.stat) && process.is_alive();
    if is_the_same(tofu) && is_the_same(asker) { Ok(()) } else { Err(Stranger::Gone) }
}

/// What the process of a pidfd is called in our PID namespace (`Pid:` in its `fdinfo`, proc(5)): nothing if it is in
/// another one or was reaped.
fn number_of(pidfd: &OwnedFd) -> Option<i32> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let number = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())?;
    (number > 0).then_some(number)
}

/// Reads `pid (name) state ppid pgrp session … starttime`; the name may hold blanks and brackets (proc(5)).
fn look_up(pid: i32) -> Option<Stat> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(1);
    let parent = fields.next()?.parse().ok()?;
    let session = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(15)?.parse().ok()?;
    Some(Stat { parent, session, started })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixListener, UnixStream};
    use std::process::Command;

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
        let (tofu, asker) = (Process::open(parent()).unwrap(), Process::open(this()).unwrap());
        assert_eq!(check(&asker, &tofu, of_this()), Ok(()));
        let mut elsewhere = Process::open(this()).unwrap();
        elsewhere.stat.session += 1;
        assert_eq!(check(&elsewhere, &tofu, of_this()), Err(Stranger::OfOthersProgram));
        assert_eq!(check(&asker, &tofu, FileId::of("/bin/sh").unwrap()), Err(Stranger::OtherProgram));
        assert_eq!(check(&asker, &asker, of_this()), Err(Stranger::NotOfTofu));
        assert_eq!(check(&tofu, &tofu, of_this()), Err(Stranger::NotOfTofu));
        for nobody in [0, -1, i32::MAX] {
            assert!(Process::open(nobody).is_none(), "{nobody}");
        }
    }

    #[test]
    fn who_has_connected_is_known_whatever_number_is_given() {
        let (one, other) = UnixStream::pair().unwrap();
        let peer = Process::of_peer(&one, 1).unwrap();
        assert_eq!(peer.pid, this());
        drop(other);
        assert!(Process::of_peer(&std::fs::File::open("/dev/null").unwrap(), this()).is_none());
    }

    /// Connects, leaves the connection to a child, says who it was, and ends.
    const PASSES_ON: &str = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die; \
                             if (fork() == 0) { close(STDOUT); close(STDERR); <$s>; exit(0) } print \"$$\\n\"; exit(0)";

    #[test]
    fn a_process_that_got_the_number_of_the_one_that_connected_is_not_taken_for_it() {
        const NEXT: &str = "/proc/sys/kernel/ns_last_pid";
        if !support::require::root() || support::require::program("perl").is_none() {
            return;
        }
        if !std::path::Path::new(NEXT).exists() {
            return support::require::missing("a kernel that can be told the next process's number");
        }
        let place = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(place.path().join("socket")).unwrap();
        #[expect(clippy::disallowed_methods, reason = "a stranger, as a test needs one")]
        let said = Command::new("perl").args(["-e", PASSES_ON]).arg(place.path().join("socket")).output().unwrap();
        let number: i32 = String::from_utf8(said.stdout).unwrap().trim().parse().unwrap();
        let (connection, _) = listener.accept().unwrap();
        // The kernel can be told which number comes next; other tests start processes too, so more than once.
        let reused = (0..1000).find_map(|_| {
            std::fs::write(NEXT, (number - 1).to_string()).unwrap();
            #[expect(clippy::disallowed_methods, reason = "a process that is to have a certain number")]
            let mut child = Command::new("sleep").arg("60").spawn().unwrap();
            if i32::try_from(child.id()).unwrap() == number {
                return Some(child);
            }
            child.kill().unwrap();
            child.wait().unwrap();
            None
        });
        let Some(mut reused) = reused else { panic!("no process got the number {number}") };
        assert!(Process::open(number).is_some(), "the control: the number means a process");
        let peer = Process::of_peer(&connection, number);
        reused.kill().unwrap();
        reused.wait().unwrap();
        assert!(peer.is_none(), "{peer:?}");
    }
}
