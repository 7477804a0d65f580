//! Programs in the background: started with a log file, stopped by process id when dropped.
//!
//! Rule: nothing is ever stopped by name, and nothing that was started here outlives its [`crate::child::Child`].

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

use crate::failure::{During as _, Failure, Outcome};

/// How long a child may take to obey SIGTERM before it is killed.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often files and processes are looked at while waiting for them.
const LOOK: Duration = Duration::from_millis(5);

/// A command to run. The only place in the tests that makes one.
#[expect(clippy::disallowed_methods, reason = "the rule is for nigari itself; this package starts programs for tests")]
pub fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    command
}

/// The value of an environment variable, if it is set and is text. The only place in this package that reads one.
#[expect(clippy::disallowed_methods, reason = "the rule is for nigari itself; tests have settings of their own")]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A running program. Dropping it stops it: SIGTERM, ten seconds, SIGKILL.
#[derive(Debug)]
pub struct Child {
    name: String,
    process: std::process::Child,
    log: PathBuf,
}

impl Child {
    /// Starts `command`; what it writes goes to the end of `log`.
    pub fn start(name: &str, mut command: Command, log: &Path) -> Outcome<Self> {
        let out = OpenOptions::new().create(true).append(true).open(log).during(log.display())?;
        let err = out.try_clone().during(log.display())?;
        let process = command.stdout(out).stderr(err).spawn().during(format_args!("cannot start {name}"))?;
        Ok(Self { name: name.to_owned(), process, log: log.to_owned() })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Where it writes to.
    pub fn log_file(&self) -> &Path {
        &self.log
    }

    /// Everything that it has written so far.
    pub fn log(&self) -> String {
        read_text(&self.log)
    }

    /// How it ended, or `None` while it runs.
    pub fn ended(&mut self) -> Outcome<Option<ExitStatus>> {
        self.process.try_wait().during(&self.name)
    }

    /// Waits for a line that contains `text` and returns it.
    ///
    /// # Errors
    /// When it ends first or `limit` passes; the end of its log is in the text.
    pub fn wait_for_line(&mut self, text: &str, limit: Duration) -> Outcome<String> {
        let start = Instant::now();
        loop {
            let ended = self.ended()?;
            let log = self.log();
            if let Some(line) = log.lines().find(|line| line.contains(text)) {
                return Ok(line.to_owned());
            }
            let name = &self.name;
            if let Some(status) = ended {
                return Err(Failure::new(format!("{name} ended ({status}) before it said {text:?}:\n{}", tail(&log))));
            }
            if start.elapsed() > limit {
                return Err(Failure::new(format!("{name} did not say {text:?} in {limit:?}:\n{}", tail(&log))));
            }
            thread::sleep(LOOK);
        }
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When `limit` passes.
    pub fn wait(&mut self, limit: Duration) -> Outcome<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() > limit {
                return Err(Failure::new(format!("{} still runs after {limit:?}", self.name)));
            }
            thread::sleep(LOOK);
        }
    }

    /// Sends it a signal; a child that has ended already is no error.
    pub fn signal(&mut self, signal: Signal) -> Outcome<()> {
        // Until it is waited for, its id cannot be given to another process, so this hits nobody else.
        if self.ended()?.is_some() {
            return Ok(());
        }
        kill_process(Pid::from_child(&self.process), signal).during(format_args!("cannot signal {}", self.name))
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) -> Outcome<()> {
        self.signal(Signal::KILL)?;
        self.process.wait().during(&self.name)?;
        Ok(())
    }

    /// Leaves it running for good; gives its process id.
    pub fn keep(self) -> u32 {
        let pid = self.pid();
        std::mem::forget(self);
        pid
    }

    /// SIGTERM, waits, and SIGKILL when that did not help.
    pub fn stop(&mut self) -> Outcome<ExitStatus> {
        self.signal(Signal::TERM)?;
        if self.wait(PATIENCE).is_err() {
            self.kill()?;
        }
        self.process.wait().during(&self.name)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// What a command that ran to its end gave back.
#[derive(Debug)]
pub struct Finished {
    /// What it wrote to stdout.
    pub out: String,
    /// What it wrote to stderr.
    pub err: String,
    /// Its exit code; `None` when a signal ended it.
    pub code: Option<i32>,
}

impl Finished {
    /// Both streams, stdout first.
    pub fn all(&self) -> String {
        format!("{}{}", self.out, self.err)
    }

    /// Itself, if the exit code is 0.
    ///
    /// # Errors
    /// Otherwise, with everything that it wrote.
    pub fn succeeded(self) -> Outcome<Self> {
        match self.code {
            Some(0) => Ok(self),
            code => Err(Failure::new(format!("exit code {code:?}\n{}", self.all()))),
        }
    }
}

/// Runs `command` to its end and captures what it writes.
pub fn run(mut command: Command) -> Outcome<Finished> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().during(format_args!("cannot run {name}"))?;
    Ok(Finished {
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
        code: output.status.code(),
    })
}

/// Runs `command` to its end and gives it `input`.
pub fn run_with_input(mut command: Command, input: &[u8]) -> Outcome<Finished> {
    let mut file = tempfile::tempfile().during("input of a command")?;
    std::io::Write::write_all(&mut file, input).during("input of a command")?;
    std::io::Seek::rewind(&mut file).during("input of a command")?;
    command.stdin(file);
    run(command)
}

/// Runs `command` to its end with both streams in one, as a terminal shows them; it is all in `out`.
pub fn run_as_on_a_terminal(mut command: Command, input: &[u8]) -> Outcome<Finished> {
    let together = tempfile::NamedTempFile::new().during("output of a command")?;
    let append = || OpenOptions::new().append(true).open(together.path()).during("output of a command");
    let mut stdin = tempfile::tempfile().during("input of a command")?;
    std::io::Write::write_all(&mut stdin, input).during("input of a command")?;
    std::io::Seek::rewind(&mut stdin).during("input of a command")?;
    command.stdin(stdin).stdout(append()?).stderr(append()?);
    let name = command.get_program().to_string_lossy().into_owned();
    let status = command.status().during(format_args!("cannot run {name}"))?;
    Ok(Finished { out: read_text(together.path()), err: String::new(), code: status.code() })
}

/// The end of a log, short enough for an error.
pub fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

/// A file's text; what cannot be read is empty, what is no text is replaced.
pub fn read_text(path: &Path) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path) {
        let _ = file.read_to_end(&mut bytes);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The first executable file called `name` in the directories of `PATH`.
pub fn find_program(name: &str) -> Option<PathBuf> {
    use std::os::unix::fs::PermissionsExt as _;
    let path = variable("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(name))
        .find(|file| fs::metadata(file).is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0))
}

/// `count` random bytes from the kernel, in lower-case hexadecimal digits.
pub fn random_hex(count: usize) -> String {
    use std::fmt::Write as _;
    let bytes = random_bytes(count);
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// `count` random bytes from the kernel.
pub fn random_bytes(count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    assert!(source.is_ok(), "/dev/urandom cannot be read: {source:?}");
    bytes
}
