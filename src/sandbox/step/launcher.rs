//! Starts launchers from one opened program, if wished ahead of their step.
//!
//! Rule: the program is opened once, at the agent's start, so that an upgrade of the file cannot mix versions. A launcher
//! that stands by has nothing of a run: it is hardened, and waits at its socket for the launch.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::Signal;
use tokio::sync::{Mutex, mpsc, oneshot};

use super::driver::Driver;
use super::{Output, Step, StepError};
use crate::process::{Child, CommandLine, ProcessGroup};
use crate::sandbox::LAUNCHER_WORD;
use crate::sandbox::channel::{encode, send_descriptors};
use crate::sandbox::orphans::{reap_launcher, spawn_launcher};
use crate::sandbox::protocol::{LONGEST_TO_LAUNCHER, Launch, Sandbox, ToLauncher};

/// The program that launchers run: this binary.
#[derive(Debug)]
pub struct Launcher {
    program: Arc<File>,
    /// At most one, for whoever starts the next step.
    standing_by: Arc<Mutex<Option<StandingBy>>>,
}

/// The agent's ends of one launcher.
#[derive(Debug)]
struct Ends {
    child: Child,
    socket: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// A launcher that nobody has needed yet. Dropped, it is ended.
#[derive(Debug)]
struct StandingBy {
    sandbox: Sandbox,
    /// `None` when it was taken.
    ends: Option<Ends>,
}

impl StandingBy {
    /// The launcher, if it is for this sandbox and nobody killed it meanwhile.
    fn take_for(mut self, sandbox: Sandbox) -> Option<Ends> {
        let lives =
            self.ends.as_ref().is_some_and(|ends| matches!(ends.child.wait_ended(Some(Duration::ZERO)), Ok(false)));
        if lives && self.sandbox == sandbox { self.ends.take() } else { None }
    }
}

impl Drop for StandingBy {
    fn drop(&mut self) {
        if let Some(ends) = self.ends.take() {
            // One that cannot be signalled has ended; what cannot be reaped is the kernel's to forget.
            let _ = ends.child.signal(Signal::KILL);
            let _ = reap_launcher(ends.child);
        }
    }
}

impl Launcher {
    /// Opens the program that this process runs. Call it once, early; [`crate::sandbox::adopt_orphans`] too.
    pub fn open() -> Result<Self, StepError> {
        Self::with_program(Path::new("/proc/self/exe"))
    }

    /// Opens another program that understands [`LAUNCHER_WORD`]: for tests, which are not nigari themselves.
    pub fn with_program(program: &Path) -> Result<Self, StepError> {
        match File::open(program) {
            Ok(program) => Ok(Self { program: Arc::new(program), standing_by: Arc::default() }),
            Err(source) => Err(StepError::OpenProgram { program: program.to_owned(), source }),
        }
    }

    /// Where the program is, if it still is there: an upgrade may have replaced it.
    pub fn program(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.program.as_raw_fd())).ok().filter(|path| path.exists())
    }

    /// Starts a launcher ahead of its step, which then begins some milliseconds earlier. Call it while nothing of a run is
    /// at work: in the sandbox `process` a step of the same user could look into it until it is hardened. Returns at
    /// once; needs a runtime.
    pub fn stand_by(&self, sandbox: Sandbox) {
        let (program, place) = (Arc::clone(&self.program), Arc::clone(&self.standing_by));
        tokio::spawn(async move {
            let mut place = place.lock().await;
            if place.is_none() {
                // If it fails, so does the start of the step, which can say it.
                *place = spawn(&program, sandbox).ok().map(|ends| StandingBy { sandbox, ends: Some(ends) });
            }
        });
    }

    /// Ends the one that stands by, if any: before the agent ends, so that nothing of it is left behind.
    pub async fn stand_down(&self) {
        self.standing_by.lock().await.take();
    }

    /// Starts a step and returns when its process runs or was refused. Dropping the future kills what was started.
    /// Needs a runtime: what follows the step is a task of its own.
    pub async fn start(&self, launch: Launch) -> Result<Step, StepError> {
        let secret = launch.secret_directory.as_ref().map(|secret| (secret.root.clone(), secret.name.clone()));
        let sandbox = launch.sandbox;
        let frame = encode(&ToLauncher::Launch(Box::new(launch)), LONGEST_TO_LAUNCHER).map_err(channel)?;
        let standing_by = self.standing_by.lock().await.take();
        let ends = match standing_by.and_then(|standing_by| standing_by.take_for(sandbox)) {
            Some(ends) => ends,
            None => spawn(&self.program, sandbox)?,
        };
        failpoint!("agent.launcher.spawned");
        let stdout = Output::from_owned_fd(ends.stdout).map_err(channel)?;
        let stderr = Output::from_owned_fd(ends.stderr).map_err(channel)?;
        ends.socket.set_nonblocking(true).map_err(channel)?;
        let socket = tokio::net::UnixStream::from_std(ends.socket).map_err(channel)?;
        let (orders, received) = mpsc::unbounded_channel();
        let (started, is_started) = oneshot::channel();
        let (ended, end) = oneshot::channel();
        tokio::spawn(Driver::new(ends.child, socket, secret, sandbox).run(frame, received, started, ended));
        match is_started.await {
            Ok((pid, has_processes)) => {
                Ok(Step { pid, has_processes, stdout: Some(stdout), stderr: Some(stderr), orders, end: Some(end) })
            }
            // It did not start, so the end says why.
            Err(_) => match end.await {
                Ok(Err(error)) => Err(error),
                Ok(Ok(_)) | Err(_) => Err(StepError::Abandoned),
            },
        }
    }
}

fn spawn(program: &File, sandbox: Sandbox) -> Result<Ends, StepError> {
    let (stdout, stdout_write) = pipe_with(PipeFlags::CLOEXEC).map_err(channel)?;
    let (stderr, stderr_write) = pipe_with(PipeFlags::CLOEXEC).map_err(channel)?;
    let (socket, theirs) = UnixStream::pair().map_err(channel)?;
    let descriptors = [stdout_write.as_fd(), stdout.as_fd(), stderr_write.as_fd(), stderr.as_fd()];
    send_descriptors(&socket, &descriptors).map_err(channel)?;
    let mut line = CommandLine::new(PathBuf::from(format!("/proc/self/fd/{}", program.as_raw_fd())));
    line.arguments = vec![LAUNCHER_WORD.into(), sandbox.name().into()];
    // It calls setsid, which makes its group its own as well.
    line.group = ProcessGroup::Inherited;
    let mut command = line.command().map_err(StepError::SpawnLauncher)?;
    command.arg0(crate::failpoint::program_name()).stdin(Stdio::from(OwnedFd::from(theirs)));
    let child = spawn_launcher(command).map_err(StepError::SpawnLauncher)?;
    Ok(Ends { child, socket, stdout, stderr })
}

fn channel(error: impl std::fmt::Display) -> StepError {
    StepError::Channel { detail: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::Duration;

    use super::{StandingBy, spawn};
    use crate::process::tree;
    use crate::sandbox::protocol::Sandbox;

    /// `program` takes the launcher's place.
    fn standing_by(program: &str) -> StandingBy {
        let ends = spawn(&File::open(program).unwrap(), Sandbox::Process).unwrap();
        StandingBy { sandbox: Sandbox::Process, ends: Some(ends) }
    }

    #[test]
    fn one_that_stands_by_is_taken_for_its_own_sandbox_alone() {
        // Goes on for ever, whatever its arguments are.
        let ends = standing_by("/usr/bin/yes").take_for(Sandbox::Process);
        drop(StandingBy { sandbox: Sandbox::Process, ends: Some(ends.unwrap()) });
        assert!(standing_by("/usr/bin/yes").take_for(Sandbox::Namespace).is_none());
    }

    #[test]
    fn one_that_was_not_needed_is_ended_and_reaped() {
        let standing_by = standing_by("/usr/bin/yes");
        let pid = standing_by.ends.as_ref().unwrap().child.pid();
        let began = tree::look_up(pid).unwrap().started;
        drop(standing_by);
        assert!(tree::look_up(pid).is_none_or(|other| other.started != began));
    }

    #[test]
    fn one_that_has_ended_meanwhile_is_not_taken() {
        let standing_by = standing_by("/bin/false");
        let child = &standing_by.ends.as_ref().unwrap().child;
        assert!(child.wait_ended(Some(Duration::from_mins(1))).unwrap());
        assert!(standing_by.take_for(Sandbox::Process).is_none());
    }
}
