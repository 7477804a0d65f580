//! A person at a terminal: `script` of util-linux gives the pseudo-terminal.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use support::child::command;
use support::require;

/// A command at a terminal.
pub(crate) struct Terminal {
    script: Child,
    seen: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Starts `typed` at a terminal, with its environment and directory; `None` where there is no `script`.
    pub(crate) fn start(typed: &Command) -> Option<Self> {
        let quote = |word: &std::ffi::OsStr| format!("'{}'", word.to_string_lossy().replace('\'', "'\\''"));
        let words: Vec<String> = std::iter::once(typed.get_program()).chain(typed.get_args()).map(quote).collect();
        let mut script = command(require::program("script")?);
        // The shell makes way, so that the exit code is the command's own.
        let line = format!("exec {}", words.join(" "));
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_clear();
        script.envs(typed.get_envs().filter_map(|(name, value)| Some((name, value?))));
        script.env("SHELL", "/bin/sh").env("TERM", "xterm");
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (mut stdout, into) = (script.stdout.take().unwrap(), Arc::clone(&seen));
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut piece) {
                into.lock().unwrap().extend_from_slice(&piece[..count]);
            }
        });
        Some(Self { script, seen, reader: Some(reader) })
    }

    /// Everything that stands on the terminal.
    pub(crate) fn seen(&self) -> String {
        String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned()
    }

    /// Waits for words.
    pub(crate) fn wait_for(&self, words: &str) {
        self.wait_for_times(words, 1);
    }

    /// Waits until the words stand there so often.
    pub(crate) fn wait_for_times(&self, words: &str, times: usize) {
        let begun = Instant::now();
        while self.seen().matches(words).count() < times {
            assert!(begun.elapsed() < Duration::from_mins(1), "no {words:?} in:\n{}", self.seen());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Types keys.
    pub(crate) fn press(&mut self, keys: &str) {
        self.script.stdin.as_mut().unwrap().write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for the end; exit code and everything seen.
    pub(crate) fn end(mut self) -> (i32, String) {
        let status = self.script.wait().unwrap();
        self.reader.take().unwrap().join().unwrap();
        (status.code().unwrap(), self.seen())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Of one that has ended, this is an error that says so.
        let _ = self.script.kill();
        let _ = self.script.wait();
    }
}
