//! Starts the step's process: by the launcher itself, or by init within the sandbox.
//!
//! Rule: it dies with who starts it, has no capability even as root and gains no privileges, leaves no core, sees what
//! its fence allows, and gets the environment that was given, its two pipes, and nothing else.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;

use super::capabilities;
use super::landlock::Fence;
use super::protocol::{Launch, Limits, Refusal};
use crate::process::{Child, CommandLine, ProcessGroup, SpawnError, spawn};

/// The step's standard output and standard error.
pub(super) struct Outputs {
    pub(super) stdout: OwnedFd,
    pub(super) stderr: OwnedFd,
}

/// Starts it, and forgets its secrets.
pub(super) fn start(launch: Launch, outputs: Outputs, fence: Fence) -> Result<Child, Refusal> {
    let mut line = CommandLine {
        program: launch.program,
        arguments: launch.arguments.into_iter().map(Into::into).collect(),
        environment: Vec::new(),
        working_directory: launch.working_directory,
        group: ProcessGroup::Own,
    };
    line.environment.extend(launch.environment.iter().map(|(name, value)| (name.into(), value.expose().into())));
    line.environment.push(("PWD".into(), line.working_directory.clone().into()));
    let mut command = line.command().map_err(refusal)?;
    command.stdout(Stdio::from(outputs.stdout)).stderr(Stdio::from(outputs.stderr));
    prepare_in_child(&mut command, launch.limits, fence);
    failpoint!("step.spawning");
    let child = spawn(command).map_err(refusal)?;
    failpoint!("step.spawned");
    Ok(child)
}

/// Makes the kernel take the process first when memory is short. A wish, not a promise: some hosts hide the file.
pub(super) fn adjust_for_want_of_memory(pid: Pid, limits: Limits) {
    let _ = fs::write(format!("/proc/{pid}/oom_score_adj"), limits.oom_score_adjustment.min(1000).to_string());
}

fn prepare_in_child(command: &mut Command, limits: Limits, fence: Fence) {
    let parent = getpid();
    let mut fence = Some(fence);
    #[expect(unsafe_code, reason = "limits, fence and parent-death signal can only be set by the child itself")]
    // SAFETY: the closure runs between fork and exec. Launcher and init have one thread, so no lock can be held by
    // another one at the fork, and memory can be had as usual; what it touches was moved into it.
    unsafe {
        command.pre_exec(move || bind_to(parent, limits, fence.take()));
    }
}

/// Runs in the child. The parent is looked at last: one that died before the signal was set would never be noticed.
fn bind_to(parent: Pid, limits: Limits, fence: Option<Fence>) -> io::Result<()> {
    set_no_new_privs(true)?;
    capabilities::drop_all()?;
    limit(Resource::Core, Some(0))?;
    limit(Resource::Nofile, limits.open_files)?;
    limit(Resource::Fsize, limits.file_size_bytes)?;
    limit(Resource::Nproc, limits.processes)?;
    if let Some(fence) = fence {
        fence.close()?;
    }
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// Lowers a limit; one that is lower already stays.
fn limit(resource: Resource, most: Option<u64>) -> io::Result<()> {
    let Some(most) = most else {
        return Ok(());
    };
    let maximum = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    setrlimit(resource, Rlimit { current: Some(maximum), maximum: Some(maximum) })?;
    Ok(())
}

fn refusal(error: SpawnError) -> Refusal {
    match error {
        SpawnError::ProgramMissing(program) => Refusal::ProgramMissing { program },
        SpawnError::ProgramNotExecutable(program) => Refusal::ProgramNotExecutable { program },
        SpawnError::RelativeProgram(program) => {
            Refusal::Start { program, detail: "its path is not absolute".to_owned() }
        }
        SpawnError::WorkingDirectory { path, source } => Refusal::WorkingDirectory { path, detail: source.to_string() },
        SpawnError::Spawn { program, source } => Refusal::Start { program, detail: source.to_string() },
    }
}
