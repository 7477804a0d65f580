//! The launcher's side: one thread, no runtime, the parent of one step's process.
//!
//! Rule: it outlives the step and, if it must, the agent; when it ends, nothing of the step is alive and the secret
//! directory is wiped. The one thread is the process's first: the kernel's parent-death signal follows the thread that
//! forked.

mod connection;
mod harden;
mod namespace;
mod running;
mod secret_directory;
mod watch;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, open};

use self::connection::Connection;
use self::namespace::Entered;
use self::running::Running;
use self::secret_directory::{MadeDirectory, Secrets};
use super::landlock::Fence;
use super::protocol::{Launch, Refusal, Sandbox, ToAgent, ToLauncher};
use super::start::{Outputs, adjust_for_want_of_memory, start};
use super::sweep::is_named;

/// What [`super::LAUNCHER_WORD`] runs. The agent is told everything over the socket; the exit code is for nobody.
pub fn main() -> ExitCode {
    // Said on the command line, because it comes before the hardening, and that before anything is read.
    let wants_namespace = std::env::args_os().nth(2).is_some_and(|word| word == Sandbox::Namespace.name());
    let entered = wants_namespace.then(namespace::enter).transpose();
    if let Err(error) = harden::harden() {
        return refuse_all(&format!("cannot harden the launcher: {error}"));
    }
    failpoint!("launcher.hardened");
    let Ok((mut connection, pipes)) = Connection::open() else {
        return ExitCode::FAILURE;
    };
    let entered = entered.and_then(|entered| entered.map(namespace::begin_init).transpose());
    match (connection.first(), entered) {
        (_, Err(detail)) => connection.say(&ToAgent::Refused(Refusal::Namespace { detail })),
        (Ok(ToLauncher::Launch(launch)), Ok(entered)) => run(&mut connection, *launch, pipes, entered),
        (Ok(_), _) => {
            connection.say(&ToAgent::Refused(Refusal::Protocol { detail: "no launch came first".to_owned() }));
        }
        (Err(error), _) => connection.say(&ToAgent::Refused(Refusal::Protocol { detail: error.to_string() })),
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

/// In the namespaces of `entered`, if there are any.
fn run(connection: &mut Connection, launch: Launch, pipes: Pipes, entered: Option<Entered>) {
    failpoint!("launcher.told");
    // Held until this function returns, which is the launcher's end.
    let locked: Result<Vec<OwnedFd>, Refusal> = launch.lock_directories.iter().map(|path| lock(path)).collect();
    let _locks = match locked {
        Ok(locks) => locks,
        Err(refusal) => return connection.say(&ToAgent::Refused(refusal)),
    };
    failpoint!("launcher.locked");
    let reads = [pipes.stdout_read, pipes.stderr_read];
    let outputs = Outputs { stdout: pipes.stdout_write, stderr: pipes.stderr_write };
    let (limits, when_agent_dies) = (launch.limits, launch.when_agent_dies);
    let begun = match entered {
        Some(entered) => confined(launch, outputs, entered),
        None => on_host(launch, outputs),
    };
    let Begun { running, mut secrets, has_processes } = match begun {
        Ok(begun) => begun,
        Err((refusal, wiped)) => {
            // The wipe comes first, so that a launcher which dies in it has not said that all is over.
            if let Some(wiped) = wiped {
                connection.say(&ToAgent::Wiped(wiped));
            }
            return connection.say(&ToAgent::Refused(refusal));
        }
    };
    failpoint!("launcher.begun");
    adjust_for_want_of_memory(running.pid(), limits);
    connection.say(&ToAgent::Started { pid: running.pid().as_raw_pid(), has_processes });
    failpoint!("launcher.started.said");
    let exited = watch::watch(connection, running, when_agent_dies, reads, &mut secrets);
    failpoint!("launcher.step.over");
    if let Some(secrets) = secrets {
        let wiped = secrets.wipe();
        failpoint!("launcher.wiped");
        connection.say(&ToAgent::Wiped(wiped));
        failpoint!("launcher.wiped.said");
    }
    connection.say(&ToAgent::Exited(exited));
    failpoint!("launcher.exited.said");
}

/// A step that runs.
struct Begun {
    running: Running,
    secrets: Option<Secrets>,
    has_processes: bool,
}

/// Why it does not, and what became of secrets that had been written.
type NotBegun = (Refusal, Option<Result<(), String>>);

fn on_host(mut launch: Launch, outputs: Outputs) -> Result<Begun, NotBegun> {
    // It would count all of this user's processes.
    launch.limits.processes = None;
    let path = launch.secret_directory.as_ref().map(super::SecretDirectory::path);
    let made = launch.secret_directory.take().map(MadeDirectory::make).transpose();
    let made = made.map_err(|failure| (failure.refusal, failure.wiped))?;
    let has_processes = launch.view.has_processes || launch.view.hidden.is_empty();
    let fence = Fence::of_host(&launch.view, path.as_deref(), rustix::process::geteuid().is_root());
    let fence = fence.map_err(|detail| Refusal::Start { program: launch.program.clone(), detail });
    match fence.and_then(|fence| start(launch, outputs, fence)) {
        Ok(child) => Ok(Begun { running: Running::OnHost(child), secrets: made.map(Secrets::OnHost), has_processes }),
        Err(refusal) => Err((refusal, made.map(MadeDirectory::wipe))),
    }
}

fn confined(launch: Launch, outputs: Outputs, entered: Entered) -> Result<Begun, NotBegun> {
    let begun = namespace::start(launch, &outputs, entered);
    // Held by nobody but the step now, so that the agent sees the end of its output.
    drop(outputs);
    let (confined, secrets) = begun.map_err(|refusal| (refusal, None))?;
    let has_processes = confined.has_processes;
    Ok(Begun { running: Running::Confined(confined), secrets: secrets.map(Secrets::Inside), has_processes })
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
