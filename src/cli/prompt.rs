//! Asking the person at the terminal.
//!
//! Rule: only where both ends are a terminal; what is asked for a secret is not echoed, and the echo comes back
//! whatever happens in between.

use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::error::CommandError;
use super::harmless::harmless;
use crate::protocol::limits::SECRET_BYTES;
use crate::secret::Secret;
use crate::settings::secret_file::without_line_end;

const INTERRUPT: u8 = 0x03;
const END_OF_INPUT: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const ERASE_LINE: u8 = 0x15;
const DELETE: u8 = 0x7f;

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

/// Asks until the answer is yes or no; it is an error when it is neither.
pub(super) fn confirm(question: &str) -> Result<bool, CommandError> {
    for _ in 0..3 {
        match ask(&format!("{question} [yes/no] "))?.trim().to_ascii_lowercase().as_str() {
            "yes" | "y" => return Ok(true),
            "no" | "n" => return Ok(false),
            _ => show("please answer `yes` or `no`\n"),
        }
    }
    Err(CommandError::refused("the question was not answered", "answer `yes` or `no`"))
}

/// Asks before something is removed for good, unless `yes` was given.
pub(super) fn confirm_removal(question: &str, yes: bool) -> Result<(), CommandError> {
    if yes {
        return Ok(());
    }
    if !is_possible() {
        return Err(CommandError::usage("there is no terminal to ask on", "`--yes` removes it without asking"));
    }
    if confirm(question)? { Ok(()) } else { Err(CommandError::refused("nothing was removed", "`yes` removes it")) }
}

/// Asks for a secret without echo.
pub(super) fn ask_secret(question: &str) -> Result<Secret, CommandError> {
    show(question);
    let answer = {
        let _quiet = Quiet::begin();
        read_keys(&mut io::stdin().lock())
    };
    show("\n");
    answer.map_err(|source| CommandError::io("cannot read the secret", source))
}

/// Reads keys to the end of the line. The terminal hands over each key as it is, Ctrl-C too: were it a signal, the
/// terminal would stay without echo.
fn read_keys(keys: &mut impl Read) -> io::Result<Secret> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_BYTES));
    let mut key = [0];
    while keys.read(&mut key)? == 1 {
        match key[0] {
            b'\n' | b'\r' | END_OF_INPUT => break,
            INTERRUPT => return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted")),
            ERASE_LINE => line.clear(),
            BACKSPACE | DELETE => {
                // A character of several bytes goes as one.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            byte if line.len() < SECRET_BYTES => line.push(byte),
            _ => return Err(io::Error::other(format!("it has more than {SECRET_BYTES} bytes"))),
        }
    }
    std::str::from_utf8(&line).map(Secret::from).map_err(io::Error::other)
}

/// Reads a secret from standard input to its end; one line end does not belong to it.
pub(super) fn secret_from_stdin() -> Result<Secret, CommandError> {
    text_from_stdin().map(without_line_end)
}

/// Reads a file's text from standard input to its end, byte for byte.
pub(super) fn file_from_stdin() -> Result<Secret, CommandError> {
    text_from_stdin().map(Secret::new)
}

fn text_from_stdin() -> Result<String, CommandError> {
    let mut text = String::new();
    let read = io::stdin().lock().take(SECRET_BYTES as u64 * 32).read_to_string(&mut text);
    read.map_err(|source| CommandError::io("cannot read the secret from standard input", source))?;
    Ok(text)
}

fn show(text: &str) {
    let mut stderr = io::stderr().lock();
    // A terminal that is gone cannot be asked either; the read that follows says so.
    let _ = stderr.write_all(harmless(text, false).as_bytes()).and_then(|()| stderr.flush());
}

/// The terminal without echo, until dropped.
struct Quiet(Option<Termios>);

impl Quiet {
    fn begin() -> Self {
        let stdin = io::stdin();
        let Ok(before) = tcgetattr(stdin.as_fd()) else { return Self(None) };
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
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

#[cfg(test)]
mod tests {
    use super::read_keys;

    #[test]
    fn keys_become_a_secret() {
        let typed = |keys: &str| read_keys(&mut keys.as_bytes()).map(|secret| secret.expose().to_owned()).ok();
        for (keys, secret) in [
            ("geheim\n", "geheim"),
            ("a b\r", "a b"),
            ("wrong\u{15}right\n", "right"),
            ("aä\u{7f}b\n", "ab"),
            ("\u{7f}x\n", "x"),
            ("x\u{4}", "x"),
            ("pä\"ss", "pä\"ss"),
        ] {
            assert_eq!(typed(keys).as_deref(), Some(secret), "{keys:?}");
        }
        assert_eq!(typed("half\u{3}"), None, "Ctrl-C is no secret");
        assert_eq!(typed(&"x".repeat(17 * 1024)), None);
    }
}
