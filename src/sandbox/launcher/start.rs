//! Starts the step's process.
//!
//! Rule: it dies with the launcher, has no capability even as root and gains no privileges, leaves no core, and gets the
//! environment that was given, its two pipes, and nothing else.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getpid, getppid, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, remove_capability_from_bounding_set,
    set_capabilities, set_no_new_privs,
};

use crate::process::{Child, CommandLine, ProcessGroup, SpawnError, spawn};
use crate::sandbox::protocol::{Launch, Limits, Refusal, WhenAgentDies};

/// Starts it, and forgets its secrets.
pub(super) fn start(launch: Launch, stdout: OwnedFd, stderr: OwnedFd) -> Result<(Child, WhenAgentDies), Refusal> {
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
    command.stdout(Stdio::from(stdout)).stderr(Stdio::from(stderr));
    prepare_in_child(&mut command, launch.limits);
    let child = spawn(command).map_err(refusal)?;
    let adjustment = launch.limits.oom_score_adjustment.min(1000).to_string();
    // A wish, not a promise: some hosts hide the file.
    let _ = fs::write(format!("/proc/{}/oom_score_adj", child.pid()), adjustment);
    Ok((child, launch.when_agent_dies))
}

fn prepare_in_child(command: &mut Command, limits: Limits) {
    let launcher = getpid();
    #[expect(unsafe_code, reason = "the parent-death signal can only be set by the child itself, after the fork")]
    // SAFETY: the closure runs between fork and exec. It makes system calls through rustix alone, which need neither
    // memory nor locks, and touches nothing but two copied values.
    unsafe {
        command.pre_exec(move || bind_to(launcher, limits));
    }
}

/// Runs in the child. The parent is looked at last: one that died before the signal was set would never be noticed.
fn bind_to(launcher: Pid, limits: Limits) -> io::Result<()> {
    set_no_new_privs(true)?;
    drop_capabilities()?;
    limit(Resource::Core, Some(0))?;
    limit(Resource::Nofile, limits.open_files)?;
    limit(Resource::Fsize, limits.file_size_bytes)?;
    set_parent_process_death_signal(Some(Signal::KILL))?;
    if getppid() == Some(launcher) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// Every capability, out of every set (capabilities(7)). After `no_new_privs` an exec gives none back, not even to root
/// and not even where the bounding set cannot be changed, which takes `CAP_SETPCAP`.
fn drop_capabilities() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The one before was the last that this kernel knows; or we may not.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let none = CapabilitySet::empty();
    let held = capabilities(None)?;
    // A unit's `SystemCallFilter=~@privileged` refuses the call; there is nothing to give up there.
    if held.effective != none || held.permitted != none || held.inheritable != none {
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    }
    Ok(())
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
