//! What the launcher does to itself before it reads anything.
//!
//! Rule: no secret is read by a process that others of the same user may look into (`security.md`, T6): not dumpable,
//! no core, and nothing inherited from the agent but the socket. What ends it is the end of its step, never a signal
//! that means everybody: the step's process would die with it.

use std::io;
use std::os::fd::AsRawFd as _;

use rustix::fs::{Dir, Mode, OFlags, open};
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getpid, set_child_subreaper, set_dumpable_behavior, setrlimit, setsid, umask,
};
use tokio::signal::unix::{SignalKind, signal};

/// Hardens this process.
pub(super) fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    close_inherited()?;
    // A session of its own: no terminal's signals, and the mark by which the agent knows what is below a launcher.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    umask(Mode::RWXG | Mode::RWXO);
    outlive_signals()
}

/// Takes the signals that ask a process to end, and does nothing about them: a service manager sends them to every
/// process of the service. A handler, other than a mask or `SIG_IGN`, ends with the exec of the step's process, which
/// hears them as usual. tokio keeps a handler for the rest of the process's life once it was asked for; nothing of the
/// runtime is needed after that.
fn outlive_signals() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    for kind in [SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit(), SignalKind::terminate()] {
        drop(signal(kind)?);
    }
    Ok(())
}

/// Closes what the agent itself was started with and did not close on exec: it would reach tofu.
fn close_inherited() -> io::Result<()> {
    let directory = open("/proc/self/fd", OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let own = directory.as_raw_fd();
    let mut inherited = Vec::new();
    for entry in Dir::new(directory)? {
        let number = entry?.file_name().to_str().ok().and_then(|name| name.parse::<i32>().ok());
        inherited.extend(number.filter(|number| *number > 2 && *number != own));
    }
    for number in inherited {
        #[expect(unsafe_code, reason = "inherited descriptors have a number only, no owner")]
        // SAFETY: this is the first thing that a process of one thread does. It owns no descriptor above 2 yet, so no
        // owner can be left with a closed one; the directory's own, closed by now, was left out.
        unsafe {
            rustix::io::close(number);
        }
    }
    Ok(())
}
