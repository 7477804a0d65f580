//! Init: the first process of the sandbox `namespace`, which makes the sandbox, starts the step's process in it, and
//! reaps what that leaves.
//!
//! Rule: it has one thread, holds secrets no longer than it takes to hand them on, gives up every capability before the
//! step's process exists, and dies with its launcher; the kernel kills everything in the sandbox with it. Signals are
//! not its business: none from within can reach it, and the launcher sends its own to the step's process.

mod bind;
mod root;
mod secrets;

use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, Signal, WaitOptions, set_dumpable_behavior, set_parent_process_death_signal,
    setrlimit, umask, wait,
};

use super::capabilities;
use super::channel::{ChannelError, encode, receive, receive_descriptors, send_descriptors};
use super::landlock::Fence;
use super::protocol::{FromInit, LONGEST_TO_AGENT, LONGEST_TO_LAUNCHER, Launch, Refusal};
use super::start::{Outputs, start};
use crate::process::{Child, ExitReason};

/// What [`super::INIT_WORD`] runs. The launcher is told everything over the socket; the exit code is for nobody.
pub fn main() -> ExitCode {
    if harden().is_err() {
        return ExitCode::FAILURE;
    }
    // First of all points: init can open nothing of the host later.
    failpoint!("init.hardened");
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut socket = UnixStream::from(socket);
    match begin(&mut socket) {
        Ok(child) => follow(&mut socket, &child),
        Err(refusal) => say(&mut socket, &FromInit::Refused(refusal)),
    }
    ExitCode::SUCCESS
}

/// A launcher that died before the signal was set is noticed by its closed socket.
fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

/// Makes the sandbox and starts the step's process.
fn begin(socket: &mut UnixStream) -> Result<Child, Refusal> {
    let protocol = |error: ChannelError| Refusal::Protocol { detail: error.to_string() };
    let [stdout, stderr] = receive_descriptors(&*socket).map_err(protocol)?;
    let mut launch: Launch = receive(socket, LONGEST_TO_LAUNCHER).map_err(protocol)?;
    failpoint!("init.told");
    let inside = root::enter(&mut launch)?;
    failpoint!("init.entered");
    let refused = |detail: String| Refusal::Namespace { detail };
    let fence = Fence::of_view(&launch.view, &root::SYSTEM, &root::TEMPORARY, inside.secret_path.as_deref());
    let fence = fence.map_err(|detail| refused(format!("Landlock: {detail}")))?;
    capabilities::drop_all().map_err(|error| refused(format!("capabilities: {error}")))?;
    let child = start(launch, Outputs { stdout, stderr }, fence)?;
    failpoint!("init.begun");
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![child.pidfd()];
    descriptors.extend(inside.secrets.as_ref().map(OwnedFd::as_fd));
    let started = FromInit::Started { has_secrets: inside.secrets.is_some(), has_processes: inside.has_processes };
    say(socket, &started);
    send_descriptors(&*socket, &descriptors).map_err(protocol)?;
    failpoint!("init.started.said");
    // Until the launcher has asked what the process is called outside, it must not be reaped.
    let asked = socket.read_exact(&mut [0]);
    asked.map_err(|error| protocol(error.into()))?;
    Ok(child)
}

/// Reaps until the launcher ends it, and tells how the step's process ended.
fn follow(socket: &mut UnixStream, child: &Child) {
    loop {
        match wait(WaitOptions::empty()) {
            Ok(Some((pid, status))) if pid == child.pid() => {
                let by_signal = || status.terminating_signal().map(ExitReason::Signal);
                if let Some(exit) = status.exit_status().map(ExitReason::Code).or_else(by_signal) {
                    failpoint!("init.step.over");
                    say(socket, &FromInit::Ended(exit));
                    failpoint!("init.ended.said");
                }
            }
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    // Nothing is left in here; the launcher ends it, or is gone.
    let _ = socket.read(&mut [0]);
}

/// A launcher that is gone cannot be told, and takes this process along.
fn say(socket: &mut UnixStream, message: &FromInit) {
    if let Ok(frame) = encode(message, LONGEST_TO_AGENT) {
        let _ = socket.write_all(&frame);
    }
}
