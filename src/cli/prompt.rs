//! Asking the person at the terminal.
//!
//! Rule: only where both ends are a terminal; what is asked for a secret is not echoed, and the echo comes back
//! whatever happens in between.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::error::CommandError;
use crate::protocol::limits::SECRET_BYTES;
use crate::secret::Secret;
use crate::settings::secret_file::without_line_end;

/// Whether there is a person to ask.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks and returns the answer without its line end. An end of input is an empty answer.
pub(super) fn ask(question: &str) -> Result<String, CommandError> {
    show(question);
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer).map_err(|source| CommandError::io("cannot read the answer", source))?;
    Ok(answer.trim_end_matches(['\n', '\r']).to_owned())
}

/// Asks until the answer is yes or no.
pub(super) fn confirm(question: &str) -> Result<bool, CommandError> {
    for _ in 0..3 {
        match ask(&format!("{question} [yes/no] "))?.trim().to_ascii_lowercase().as_str() {
            "yes" | "y" => return Ok(true),
            "no" | "n" | "" => return Ok(false),
            _ => show("please answer `yes` or `no`\n"),
        }
    }
    Ok(false)
}

/// Asks for a secret without echo.
pub(super) fn ask_secret(question: &str) -> Result<Secret, CommandError> {
    show(question);
    let answer = {
        let _quiet = Quiet::begin();
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer).map(|_| without_line_end(answer))
    };
    show("\n");
    answer.map_err(|source| CommandError::io("cannot read the secret", source))
}

/// Reads a secret from standard input to its end; one line end does not belong to it.
pub(super) fn secret_from_stdin() -> Result<Secret, CommandError> {
    let mut text = String::new();
    io::stdin()
        .lock()
        .take(SECRET_BYTES as u64 * 32)
        .read_to_string(&mut text)
        .map_err(|source| CommandError::io("cannot read the secret from standard input", source))?;
    Ok(without_line_end(text))
}

fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    // A terminal that is gone cannot be asked either; the read that follows says so.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

/// The terminal without echo, until dropped.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        let _ = tcsetattr(stdin.as_fd(), OptionalActions::Flush, &quiet);
        Self(Some(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Flush, before);
        }
    }
}
