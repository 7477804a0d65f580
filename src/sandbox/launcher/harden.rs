//! What the launcher does to itself before it reads anything.
//!
//! Rule: no secret is read by a process that others of the same user may look into (`security.md`, T6): not dumpable,
//! no core, and nothing inherited from the agent but the socket.

use std::fs;
use std::io;

use rustix::fs::Mode;
use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getpid, set_child_subreaper, set_dumpable_behavior, setrlimit, setsid, umask,
};

/// Hardens this process.
pub(super) fn harden() -> io::Result<()> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    close_inherited()?;
    // A session of its own: no terminal's signals, and the mark by which the agent knows what is below a launcher.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    umask(Mode::RWXG | Mode::RWXO);
    Ok(())
}

/// Closes what the agent itself was started with and did not close on exec: it would reach tofu.
fn close_inherited() -> io::Result<()> {
    let mut inherited = Vec::new();
    for entry in fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok());
        inherited.extend(number.filter(|number| *number > 2));
    }
    for number in inherited {
        #[expect(unsafe_code, reason = "inherited descriptors have a number only, no owner")]
        // SAFETY: this is the first thing that a process of one thread does. It owns no descriptor above 2 yet, so no
        // owner can be left with a closed one; the directory's own, listed above, is closed already, which is EBADF.
        unsafe {
            rustix::io::close(number);
        }
    }
    Ok(())
}
