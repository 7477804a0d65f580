//! Runs a short command to its end and keeps what it wrote.
//!
//! Rule: bounded in time and in memory; nothing of it is alive afterwards.

use std::io::{self, Read};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, kill_process_group};

use super::{CommandLine, ExitReason, SpawnError, spawn, tree};

/// How long a killed command may take to be gone.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// What a short command did.
#[derive(Debug)]
pub struct Captured {
    /// How it ended.
    pub exit: ExitReason,
    /// Standard output, at most the limit.
    pub stdout: Vec<u8>,
    /// Standard error, at most the limit.
    pub stderr: Vec<u8>,
}

/// Why a short command gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// It did not start.
    #[error(transparent)]
    Spawn(#[from] SpawnError),
    /// It took too long and was killed.
    #[error("{program} took longer than {} s and was killed", .limit.as_secs())]
    TimedOut {
        /// What was run.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// Waiting or reading failed.
    #[error("cannot follow {program}")]
    Follow {
        /// What was run.
        program: String,
        /// What the kernel said.
        source: io::Error,
    },
}

/// Runs `line` for at most `limit`; keeps the first `most` bytes of each stream and throws the rest away.
/// Blocks: call it where blocking is allowed.
pub fn capture(line: &CommandLine, limit: Duration, most: u64) -> Result<Captured, CaptureError> {
    let program = line.program.display().to_string();
    let mut command = line.command()?;
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command)?;
    let (stdout, stderr) = (child.take_stdout(), child.take_stderr());
    std::thread::scope(|scope| {
        let stdout = scope.spawn(|| keep(stdout, most));
        let stderr = scope.spawn(|| keep(stderr, most));
        let has_ended = child.wait_ended(Some(limit));
        // Also after a normal end: a left-over process would hold the pipes open, and the threads with them. The
        // group's number is ours, because its leader is not reaped yet.
        let pid = child.pid();
        tree::kill_descendants(pid, KILL_PATIENCE);
        let _ = kill_process_group(pid, Signal::KILL);
        let exit = child.wait();
        let joined = |source| CaptureError::Follow { program: program.clone(), source };
        let stdout = stdout.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        let stderr = stderr.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
        if !has_ended.map_err(joined)? {
            return Err(CaptureError::TimedOut { program: program.clone(), limit });
        }
        Ok(Captured { exit: exit.map_err(joined)?, stdout: stdout.map_err(joined)?, stderr: stderr.map_err(joined)? })
    })
}

fn keep(stream: Option<impl Read>, most: u64) -> io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        stream.by_ref().take(most).read_to_end(&mut kept)?;
        io::copy(&mut stream, &mut io::sink())?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::{CaptureError, capture};
    use crate::process::{CommandLine, ExitReason};

    fn shell(script: &str) -> CommandLine {
        let mut line = CommandLine::new("/bin/sh");
        line.arguments = vec!["-c".into(), script.into()];
        line
    }

    #[test]
    fn both_streams_and_the_exit_are_kept() {
        let captured = capture(&shell("echo out; echo err >&2; exit 6"), Duration::from_secs(20), 100).unwrap();
        assert_eq!(
            (captured.exit, &*captured.stdout, &*captured.stderr),
            (ExitReason::Code(6), &b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn output_beyond_the_limit_is_thrown_away() {
        let captured = capture(&shell("head -c 1000000 /dev/zero"), Duration::from_secs(20), 10).unwrap();
        assert_eq!((captured.exit, captured.stdout.len()), (ExitReason::Code(0), 10));
    }

    #[test]
    fn a_slow_command_is_killed_with_what_it_started() {
        let begun = Instant::now();
        let error = capture(&shell("sleep 600 & sleep 600"), Duration::from_millis(200), 10).unwrap_err();
        assert!(matches!(error, CaptureError::TimedOut { .. }), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_process_left_behind_does_not_keep_the_caller_waiting() {
        let begun = Instant::now();
        assert_eq!(
            capture(&shell("sleep 600 & exit 0"), Duration::from_mins(1), 10).unwrap().exit,
            ExitReason::Code(0)
        );
        assert!(begun.elapsed() < Duration::from_secs(20));
    }
}
