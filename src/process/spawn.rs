//! Spawns one child and waits for it.
//!
//! Rule: nothing is inherited but what the caller names. The pidfd is opened before anybody can reap the child.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal, waitid};

use super::ExitReason;

/// Why a child could not be started.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// Only absolute paths are started: a search in `PATH` could find another program.
    #[error("program {} is not an absolute path; hint: give its full path", .0.display())]
    RelativeProgram(PathBuf),
    /// There is no such file.
    #[error("program {} does not exist", .0.display())]
    ProgramMissing(PathBuf),
    /// It is there, but this user may not execute it. (A text without `#!` runs in a shell, as execvp(3) does it.)
    #[error("program {} is not executable; hint: check its mode, and `noexec` of its file system", .0.display())]
    ProgramNotExecutable(PathBuf),
    /// The working directory cannot be entered.
    #[error("cannot enter the working directory {}", .path.display())]
    WorkingDirectory {
        /// What was to be entered.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// Everything else.
    #[error("cannot start {}", .program.display())]
    Spawn {
        /// What was to be started.
        program: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Whether the child leads a process group of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessGroup {
    /// It does: signals from a terminal, and signals to our group, do not reach it.
    Own,
    /// It does not, because it calls `setsid` itself, which a group leader may not.
    Inherited,
}

/// What is to be started. Standard input is `/dev/null`, output too, until the caller sets something else.
pub struct CommandLine {
    /// Absolute path.
    pub program: PathBuf,
    /// Without the program's own name.
    pub arguments: Vec<OsString>,
    /// All of it: nothing is inherited.
    pub environment: Vec<(OsString, OsString)>,
    /// Where it starts.
    pub working_directory: PathBuf,
    /// See there.
    pub group: ProcessGroup,
}

impl CommandLine {
    /// A command line without arguments and environment, in `/`, in its own group.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            working_directory: PathBuf::from("/"),
            group: ProcessGroup::Own,
        }
    }

    /// Checks what can be checked before a fork, and makes the command, for callers that add to it.
    pub fn command(&self) -> Result<Command, SpawnError> {
        if !self.program.is_absolute() {
            return Err(SpawnError::RelativeProgram(self.program.clone()));
        }
        check_directory(&self.working_directory)?;
        #[expect(clippy::disallowed_methods, reason = "the place where commands are made")]
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.current_dir(&self.working_directory).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if self.group == ProcessGroup::Own {
            command.process_group(0);
        }
        Ok(command)
    }
}

// The environment may hold secrets, so only its names are shown.
impl std::fmt::Debug for CommandLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.environment.iter().map(|(name, _)| name).collect();
        f.debug_struct("CommandLine")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &names)
            .field("working_directory", &self.working_directory)
            .field("group", &self.group)
            .finish()
    }
}

/// A started child. Dropping it neither kills nor reaps.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
    pid: Pid,
    pidfd: OwnedFd,
}

/// Starts `command`, which came from [`CommandLine::command`].
pub fn spawn(mut command: Command) -> Result<Child, SpawnError> {
    let program = PathBuf::from(command.get_program());
    let inner = command.spawn().map_err(|source| spawn_error(&program, source))?;
    let pid = Pid::from_child(&inner);
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(Child { inner, pid, pidfd }),
        Err(errno) => {
            let mut inner = inner;
            let _ = inner.kill();
            let _ = inner.wait();
            Err(SpawnError::Spawn { program, source: errno.into() })
        }
    }
}

impl Child {
    /// Its number, stable until it is waited for.
    pub fn pid(&self) -> Pid {
        self.pid
    }

    /// Becomes readable when the child has ended.
    pub fn pidfd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }

    /// Takes the read end, if standard output was piped.
    pub fn take_stdout(&mut self) -> Option<std::process::ChildStdout> {
        self.inner.stdout.take()
    }

    /// Takes the read end, if standard error was piped.
    pub fn take_stderr(&mut self) -> Option<std::process::ChildStderr> {
        self.inner.stderr.take()
    }

    /// Sends `signal` to this process alone. A child that has ended already is no error.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        match pidfd_send_signal(&self.pidfd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Waits until it has ended, without reaping it: its number stays its own.
    /// `None` waits for ever; returns whether it has ended.
    pub fn wait_ended(&self, limit: Option<Duration>) -> io::Result<bool> {
        let end = limit.map(|limit| Instant::now() + limit);
        loop {
            let left = end.map(|end| end.saturating_duration_since(Instant::now()));
            let timespec =
                left.map(|left| Timespec { tv_sec: saturating_seconds(left), tv_nsec: left.subsec_nanos().into() });
            match poll(&mut [PollFd::new(&self.pidfd, PollFlags::IN)], timespec.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Waits until it has ended and reaps it.
    pub fn wait(self) -> io::Result<ExitReason> {
        loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Ok(Some(status)) => {
                    if let Some(reason) = ExitReason::of(&status) {
                        return Ok(reason);
                    }
                }
                Ok(None) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

fn saturating_seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

fn check_directory(path: &Path) -> Result<(), SpawnError> {
    let refused = |source| SpawnError::WorkingDirectory { path: path.to_owned(), source };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Ok(()),
        Ok(_) => Err(refused(io::ErrorKind::NotADirectory.into())),
        Err(source) => Err(refused(source)),
    }
}

fn spawn_error(program: &Path, source: io::Error) -> SpawnError {
    let program = program.to_owned();
    match rustix::io::Errno::from_io_error(&source) {
        // A script whose interpreter is missing says the same; then the script itself is there.
        Some(rustix::io::Errno::NOENT) if !program.exists() => SpawnError::ProgramMissing(program),
        Some(rustix::io::Errno::NOTDIR) => SpawnError::ProgramMissing(program),
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::NOEXEC | rustix::io::Errno::ISDIR) => {
            SpawnError::ProgramNotExecutable(program)
        }
        _ => SpawnError::Spawn { program, source },
    }
}

#[cfg(test)]
mod tests {
    use super::{CommandLine, ExitReason, SpawnError, spawn};

    fn shell(script: &str) -> CommandLine {
        let mut line = CommandLine::new("/bin/sh");
        line.arguments = vec!["-c".into(), script.into()];
        line
    }

    fn run(script: &str) -> ExitReason {
        spawn(shell(script).command().unwrap()).unwrap().wait().unwrap()
    }

    #[test]
    fn exit_code_and_signal_come_through() {
        assert_eq!(run("exit 3"), ExitReason::Code(3));
        assert_eq!(run("kill -TERM $$"), ExitReason::Signal(15));
    }

    #[test]
    fn waiting_for_the_end_does_not_reap() {
        let child = spawn(shell("exit 4").command().unwrap()).unwrap();
        assert!(child.wait_ended(None).unwrap());
        assert!(child.wait_ended(None).unwrap());
        assert_eq!(child.wait().unwrap(), ExitReason::Code(4));
    }

    #[test]
    fn a_missing_program_is_told_from_one_that_is_not_executable() {
        let missing = spawn(CommandLine::new("/nonexistent/tofu").command().unwrap()).unwrap_err();
        assert!(matches!(missing, SpawnError::ProgramMissing(_)), "{missing}");
        let text = spawn(CommandLine::new("/etc/passwd").command().unwrap()).unwrap_err();
        assert!(matches!(text, SpawnError::ProgramNotExecutable(_)), "{text}");
        let relative = CommandLine::new("tofu").command().unwrap_err();
        assert!(matches!(relative, SpawnError::RelativeProgram(_)), "{relative}");
    }

    #[test]
    fn a_missing_working_directory_is_named() {
        let mut line = shell("true");
        line.working_directory = "/nonexistent".into();
        assert!(matches!(line.command().unwrap_err(), SpawnError::WorkingDirectory { .. }));
    }

    #[test]
    fn debug_shows_no_environment_value() {
        let mut line = shell("true");
        line.environment = vec![("NAME".into(), "canary".into())];
        let shown = format!("{line:?}");
        assert!(shown.contains("NAME") && !shown.contains("canary"), "{shown}");
    }
}
