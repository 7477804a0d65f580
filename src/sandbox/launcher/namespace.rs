//! The sandbox `namespace` from outside: the launcher's own namespaces for its children, init, and what init tells.
//!
//! Rule: the launcher stays on the host, where it locks, signals and wipes; its only child is the first process of a
//! PID namespace, so that the kernel kills everything in it when that one is killed, which it is when the launcher dies.

use std::fs;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, getegid, geteuid, pidfd_send_signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::process::{Child, CommandLine, ExitReason, spawn};
use crate::sandbox::channel::{encode, receive, receive_descriptors, send_descriptors};
use crate::sandbox::protocol::{FromInit, LONGEST_TO_AGENT, LONGEST_TO_LAUNCHER, Launch, Refusal};
use crate::sandbox::start::Outputs;
use crate::sandbox::{INIT_WORD, capabilities};

/// How long init may take to tell how a process ended that has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// Makes the namespaces of this process's children, and for whoever may not do that, a user namespace first. Call it
/// before [`super::harden`]: only who is dumpable can map its own user. Says whether there is a user namespace.
pub(super) fn enter() -> Result<bool, String> {
    let is_privileged = capabilities::may_administer().map_err(|error| error.to_string())?;
    let (user, group) = (geteuid(), getegid());
    let flags = if is_privileged { UnshareFlags::NEWPID } else { UnshareFlags::NEWUSER | UnshareFlags::NEWPID };
    #[expect(unsafe_code, reason = "the call is unsafe for shared descriptor tables, which this one leaves alone")]
    // SAFETY: no flag for descriptors is given, and this process has one thread.
    let unshared = unsafe { unshare_unsafe(flags) };
    unshared.map_err(|errno| format!("no namespaces for this user: {}", io::Error::from(errno)))?;
    leave_shared_memory();
    if is_privileged {
        return Ok(false);
    }
    let map = |file: &str, text: &str| {
        fs::write(format!("/proc/self/{file}"), text).map_err(|error| format!("no {file} for this user: {error}"))
    };
    // Each as it was, and nobody else.
    map("uid_map", &format!("{user} {user} 1", user = user.as_raw()))?;
    map("setgroups", "deny")?;
    map("gid_map", &format!("{group} {group} 1", group = group.as_raw()))?;
    Ok(true)
}

/// Shared memory, semaphores and message queues (System V and POSIX) of its own for the step. A host that refuses this
/// alone, by a filter of system calls or a limit, is no host without namespaces: then they are those of the agent.
fn leave_shared_memory() {
    #[expect(unsafe_code, reason = "the call is unsafe for shared descriptor tables, which this one leaves alone")]
    // SAFETY: no flag for descriptors is given, and this process has one thread.
    let _ = unsafe { unshare_unsafe(UnshareFlags::NEWIPC) };
}

/// A step's process and the init that it lives under.
pub(super) struct Confined {
    init: Child,
    socket: UnixStream,
    process: OwnedFd,
    pid: Pid,
    /// See [`FromInit::Started`].
    pub(super) has_processes: bool,
}

/// Namespaces with an init in them that waits for a launch.
pub(super) struct Entered {
    has_users: bool,
    init: Child,
    socket: UnixStream,
}

/// Starts init in what [`enter`] has made: before there is a launch, because that takes a while.
pub(super) fn begin_init(has_users: bool) -> Result<Entered, String> {
    let (init, socket) = spawn_init()?;
    failpoint!("launcher.init.spawned");
    Ok(Entered { has_users, init, socket })
}

/// Lets init start the step's process; gives its secret directory as well.
pub(super) fn start(
    mut launch: Launch,
    outputs: &Outputs,
    entered: Entered,
) -> Result<(Confined, Option<OwnedFd>), Refusal> {
    let Entered { has_users, init, mut socket } = entered;
    // Elsewhere the kernel would count all of this user's processes.
    launch.limits.processes = launch.limits.processes.filter(|_| has_users);
    let begun = begin(&launch, outputs, &mut socket);
    if has_users {
        // Nothing is left to be made.
        capabilities::drop_all().map_err(|error| Refusal::Namespace { detail: error.to_string() })?;
    }
    match begun {
        Ok((process, pid, secrets, has_processes)) => {
            Ok((Confined { init, socket, process, pid, has_processes }, secrets))
        }
        Err(refusal) => {
            // Whatever it had made dies with it.
            let _ = init.signal(Signal::KILL);
            let _ = init.wait();
            Err(refusal)
        }
    }
}

type Begun = (OwnedFd, Pid, Option<OwnedFd>, bool);

fn spawn_init() -> Result<(Child, UnixStream), String> {
    let (socket, theirs) = UnixStream::pair().map_err(|error| error.to_string())?;
    let mut line = CommandLine::new("/proc/self/exe");
    line.arguments.push(INIT_WORD.into());
    let mut command = line.command().map_err(|error| error.to_string())?;
    command.arg0(crate::failpoint::program_name()).stdin(Stdio::from(OwnedFd::from(theirs)));
    #[expect(unsafe_code, reason = "init needs the capabilities over its exec, the launcher must not keep them so")]
    // SAFETY: the closure runs between fork and exec, and makes system calls through rustix alone.
    unsafe {
        command.pre_exec(capabilities::keep_for_init);
    }
    let init = spawn(command).map_err(|error| error.to_string())?;
    Ok((init, socket))
}

fn begin(launch: &Launch, outputs: &Outputs, socket: &mut UnixStream) -> Result<Begun, Refusal> {
    let lost = |error: &dyn std::fmt::Display| Refusal::Namespace { detail: format!("init: {error}") };
    send_descriptors(&*socket, &[outputs.stdout.as_fd(), outputs.stderr.as_fd()]).map_err(|error| lost(&error))?;
    let frame = encode(launch, LONGEST_TO_LAUNCHER).map_err(|error| lost(&error))?;
    io::Write::write_all(socket, &frame).map_err(|error| lost(&error))?;
    failpoint!("launcher.init.told");
    match receive(socket, LONGEST_TO_AGENT).map_err(|error| lost(&error))? {
        FromInit::Started { has_secrets, has_processes } => {
            let (process, secrets) = if has_secrets {
                let [process, secrets] = receive_descriptors(&*socket).map_err(|error| lost(&error))?;
                (process, Some(secrets))
            } else {
                let [process] = receive_descriptors(&*socket).map_err(|error| lost(&error))?;
                (process, None)
            };
            let pid = number_of(process.as_fd()).ok_or_else(|| lost(&"its process has no number here"))?;
            failpoint!("launcher.init.answered");
            // Not before this is init to reap: the number would be gone.
            io::Write::write_all(socket, &[0]).map_err(|error| lost(&error))?;
            Ok((process, pid, secrets, has_processes))
        }
        FromInit::Refused(refusal) => Err(refusal),
        FromInit::Ended(exit) => Err(lost(&exit)),
    }
}

/// What the process of a pidfd is called in our PID namespace (`Pid:` in its `fdinfo`, proc(5)).
fn number_of(pidfd: BorrowedFd<'_>) -> Option<Pid> {
    let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
    let number = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse::<i32>().ok())?;
    // -1 when it was reaped.
    if number > 0 { Pid::from_raw(number) } else { None }
}

impl Confined {
    pub(super) fn pid(&self) -> Pid {
        self.pid
    }

    /// Becomes readable when the step's process has ended, and when init has.
    pub(super) fn pidfd(&self) -> BorrowedFd<'_> {
        self.process.as_fd()
    }

    pub(super) fn init(&self) -> Pid {
        self.init.pid()
    }

    /// Signals the step's process alone.
    pub(super) fn signal(&self, signal: Signal) {
        // One that cannot be signalled any more has ended, which the next look shows.
        let _ = pidfd_send_signal(&self.process, signal);
    }

    /// How the process ended that has ended. If init was killed, so was the process.
    pub(super) fn exit(&mut self) -> ExitReason {
        let told = self.socket.set_read_timeout(Some(PATIENCE)).ok();
        match told.and_then(|()| receive(&mut self.socket, LONGEST_TO_AGENT).ok()) {
            Some(FromInit::Ended(exit)) => exit,
            _ => ExitReason::Signal(Signal::KILL.as_raw()),
        }
    }

    /// Kills everything in the sandbox, and waits for that. An init that the kernel does not let die stays our child.
    pub(super) fn end(self) {
        let _ = self.init.signal(Signal::KILL);
        if self.init.wait_ended(Some(PATIENCE)).unwrap_or(false) {
            let _ = self.init.wait();
        }
    }
}
