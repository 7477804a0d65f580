//! Starts launchers from one opened program.
//!
//! Rule: the program is opened once, at the agent's start, so that an upgrade of the file cannot mix versions.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::pipe::{PipeFlags, pipe_with};
use tokio::sync::{mpsc, oneshot};

use super::driver::Driver;
use super::{Output, Step, StepError};
use crate::process::{Child, CommandLine, ProcessGroup};
use crate::sandbox::LAUNCHER_WORD;
use crate::sandbox::channel::{encode, send_descriptors};
use crate::sandbox::orphans::spawn_launcher;
use crate::sandbox::protocol::{LONGEST_TO_LAUNCHER, Launch, Sandbox, ToLauncher};

/// The program that launchers run: this binary.
#[derive(Debug)]
pub struct Launcher {
    program: File,
}

/// The agent's ends of one launcher.
struct Ends {
    child: Child,
    socket: UnixStream,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

impl Launcher {
    /// Opens the program that this process runs. Call it once, early; [`crate::sandbox::adopt_orphans`] too.
    pub fn open() -> Result<Self, StepError> {
        Self::with_program(Path::new("/proc/self/exe"))
    }

    /// Opens another program that understands [`LAUNCHER_WORD`]: for tests, which are not nigari themselves.
    pub fn with_program(program: &Path) -> Result<Self, StepError> {
        match File::open(program) {
            Ok(program) => Ok(Self { program }),
            Err(source) => Err(StepError::OpenProgram { program: program.to_owned(), source }),
        }
    }

    /// Where the program is, if it still is there: an upgrade may have replaced it.
    pub fn program(&self) -> Option<PathBuf> {
        std::fs::read_link(format!("/proc/self/fd/{}", self.program.as_raw_fd())).ok().filter(|path| path.exists())
    }

    /// Starts a step and returns when its process runs or was refused. Dropping the future kills what was started.
    /// Needs a runtime: what follows the step is a task of its own.
    pub async fn start(&self, launch: Launch) -> Result<Step, StepError> {
        let secret = launch.secret_directory.as_ref().map(|secret| (secret.root.clone(), secret.name.clone()));
        let sandbox = launch.sandbox;
        let frame = encode(&ToLauncher::Launch(Box::new(launch)), LONGEST_TO_LAUNCHER).map_err(channel)?;
        let ends = self.spawn(sandbox)?;
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

    fn spawn(&self, sandbox: Sandbox) -> Result<Ends, StepError> {
        let (stdout, stdout_write) = pipe_with(PipeFlags::CLOEXEC).map_err(channel)?;
        let (stderr, stderr_write) = pipe_with(PipeFlags::CLOEXEC).map_err(channel)?;
        let (socket, theirs) = UnixStream::pair().map_err(channel)?;
        let descriptors = [stdout_write.as_fd(), stdout.as_fd(), stderr_write.as_fd(), stderr.as_fd()];
        send_descriptors(&socket, &descriptors).map_err(channel)?;
        let mut line = CommandLine::new(PathBuf::from(format!("/proc/self/fd/{}", self.program.as_raw_fd())));
        line.arguments = vec![LAUNCHER_WORD.into(), sandbox.name().into()];
        // It calls setsid, which makes its group its own as well.
        line.group = ProcessGroup::Inherited;
        let mut command = line.command().map_err(StepError::SpawnLauncher)?;
        command.arg0(crate::failpoint::program_name()).stdin(Stdio::from(OwnedFd::from(theirs)));
        let child = spawn_launcher(command).map_err(StepError::SpawnLauncher)?;
        Ok(Ends { child, socket, stdout, stderr })
    }
}

fn channel(error: impl std::fmt::Display) -> StepError {
    StepError::Channel { detail: error.to_string() }
}
