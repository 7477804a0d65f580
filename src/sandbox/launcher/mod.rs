//! The launcher's side: one thread, no runtime, the parent of one step's process.
//!
//! Rule: it outlives the step and, if it must, the agent; when it ends, nothing of the step is alive and the secret
//! directory is wiped. The one thread is the process's first: the kernel's parent-death signal follows the thread that
//! forked.

mod connection;
mod harden;
mod secret_directory;
mod start;
mod watch;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, open};

use self::connection::Connection;
use self::secret_directory::MadeDirectory;
use super::protocol::{Launch, Refusal, ToAgent, ToLauncher};
use super::sweep::is_named;

/// What [`super::LAUNCHER_WORD`] runs. The agent is told everything over the socket; the exit code is for nobody.
pub fn main() -> ExitCode {
    if let Err(error) = harden::harden() {
        return refuse_all(&format!("cannot harden the launcher: {error}"));
    }
    let Ok((mut connection, pipes)) = Connection::open() else {
        return ExitCode::FAILURE;
    };
    match connection.first() {
        Ok(ToLauncher::Launch(launch)) => run(&mut connection, *launch, pipes),
        Ok(_) => connection.say(&ToAgent::Refused(Refusal::Protocol { detail: "no launch came first".to_owned() })),
        Err(error) => connection.say(&ToAgent::Refused(Refusal::Protocol { detail: error.to_string() })),
    }
    ExitCode::SUCCESS
}

fn refuse_all(detail: &str) -> ExitCode {
    if let Ok((mut connection, _)) = Connection::open() {
        connection.say(&ToAgent::Refused(Refusal::Protocol { detail: detail.to_owned() }));
    }
    ExitCode::FAILURE
}

/// The four pipe ends of the step's output.
struct Pipes {
    stdout_write: OwnedFd,
    stdout_read: OwnedFd,
    stderr_write: OwnedFd,
    stderr_read: OwnedFd,
}

fn run(connection: &mut Connection, mut launch: Launch, pipes: Pipes) {
    // Held until this function returns, which is the launcher's end.
    let locked: Result<Vec<OwnedFd>, Refusal> = launch.lock_directories.iter().map(|path| lock(path)).collect();
    let _locks = match locked {
        Ok(locks) => locks,
        Err(refusal) => return connection.say(&ToAgent::Refused(refusal)),
    };
    let mut made = match launch.secret_directory.take().map(MadeDirectory::make).transpose() {
        Ok(made) => made,
        Err(failure) => {
            if let Some(wiped) = failure.wiped {
                connection.say(&ToAgent::Wiped(wiped));
            }
            return connection.say(&ToAgent::Refused(failure.refusal));
        }
    };
    let outputs = [pipes.stdout_read, pipes.stderr_read];
    let said = match start::start(launch, pipes.stdout_write, pipes.stderr_write) {
        Ok((child, when_agent_dies)) => {
            connection.say(&ToAgent::Started { pid: child.pid().as_raw_pid() });
            ToAgent::Exited(watch::watch(connection, child, when_agent_dies, outputs, &mut made))
        }
        Err(refusal) => ToAgent::Refused(refusal),
    };
    // The wipe comes first, so that a launcher which dies in it has not said that all is over.
    if let Some(made) = made {
        connection.say(&ToAgent::Wiped(made.wipe()));
    }
    connection.say(&said);
}

/// Locks a directory for as long as the result lives, unless somebody is about to remove it.
fn lock(path: &Path) -> Result<OwnedFd, Refusal> {
    let refused = |detail: String| Refusal::LockDirectory { path: path.to_owned(), detail };
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let directory = open(path, flags, Mode::empty()).map_err(|errno| refused(errno.to_string()))?;
    flock(&directory, FlockOperation::NonBlockingLockShared).map_err(|errno| refused(errno.to_string()))?;
    let name = rustix::path::Arg::into_c_str(path).map_err(|errno| refused(errno.to_string()))?;
    if is_named(CWD.as_fd(), &name, &directory) {
        Ok(directory)
    } else {
        Err(refused("it was removed meanwhile".to_owned()))
    }
}
