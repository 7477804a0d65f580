//! `docker-credential-nigari`: what tofu starts to ask for a credential (docker-credential-helpers' protocol).
//!
//! Rule: one thread, no runtime, no settings. It knows nothing: it carries a question to the agent and the answer to
//! standard output. What it cannot do is said on standard output too, because that is what clients show.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use zeroize::Zeroizing;

use super::exchange::{FOUND, GET, LONGEST_ANSWER, LONGEST_HOST};

/// Longer than the agent ever takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether this process was started as credential helper, by its own name.
pub fn is_called(own_name: Option<&OsStr>) -> bool {
    own_name.is_some_and(|name| Path::new(name).file_name() == Some(OsStr::new(super::PROGRAM)))
}

/// Does what its first argument says; `socket` is where the agent listens.
pub fn main(mut arguments: impl Iterator<Item = OsString>, socket: Option<&OsStr>) -> ExitCode {
    let verb = arguments.next().unwrap_or_default();
    let done = match verb.to_str() {
        Some("get") => get(socket),
        Some("list") => Ok(Zeroizing::new(b"{}".to_vec())),
        Some("version") => Ok(Zeroizing::new(version().into_bytes())),
        Some("store" | "erase") => Err(Zeroizing::new(READ_ONLY.into())),
        _ => Err(Zeroizing::new(USAGE.into())),
    };
    let (text, code) = match &done {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    let mut out = io::stdout().lock();
    // Nobody reads it any more: there is nobody to tell.
    let written = out.write_all(text).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush());
    if written.is_ok() { code } else { ExitCode::FAILURE }
}

type Text = Zeroizing<Vec<u8>>;

const READ_ONLY: &str = "nigari lends credentials and keeps none for others; hint: `nigari registry add` stores one";

const USAGE: &str = "usage: docker-credential-nigari get|list|store|erase|version";

fn version() -> String {
    format!("{} (nigari) {}", super::PROGRAM, env!("CARGO_PKG_VERSION"))
}

/// `Ok` is a credential, `Err` a text for people.
fn get(socket: Option<&OsStr>) -> Result<Text, Text> {
    let failed = |text: String| Text::new(text.into_bytes());
    let Some(socket) = socket else {
        return Err(failed(
            "no nigari to ask: this program answers tofu in the fetch step of a run and nobody else".to_owned(),
        ));
    };
    let answer = ask(Path::new(socket)).map_err(|error| failed(format!("nigari cannot be asked: {error}")))?;
    match answer.split_first() {
        Some((&FOUND, text)) => Ok(Text::new(text.to_vec())),
        Some((_, text)) => Err(Text::new(text.to_vec())),
        None => Err(failed("nigari gave no answer".to_owned())),
    }
}

fn ask(socket: &Path) -> io::Result<Text> {
    let mut host = String::new();
    io::stdin().take(LONGEST_HOST).read_to_string(&mut host)?;
    let mut agent = connect(socket)?;
    agent.set_read_timeout(Some(PATIENCE))?;
    agent.write_all(format!("{GET}{}\n", host.trim()).as_bytes())?;
    // Large enough for nearly all at once: growing leaves copies in a process that is about to end.
    let mut answer = Text::new(Vec::with_capacity(64 * 1024));
    agent.take(LONGEST_ANSWER).read_to_end(&mut answer)?;
    Ok(answer)
}

/// From within the socket's directory, because the kernel takes only short paths (unix(7)).
fn connect(socket: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    std::env::set_current_dir(directory)?;
    UnixStream::connect(name)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::is_called;

    #[test]
    fn only_its_own_name_makes_it_a_credential_helper() {
        for name in ["docker-credential-nigari", "/run/x/bin/docker-credential-nigari", "./docker-credential-nigari"] {
            assert!(is_called(Some(OsStr::new(name))), "{name}");
        }
        for name in ["nigari", "docker-credential-nigari2", "docker-credential-nigari/nigari", ""] {
            assert!(!is_called(Some(OsStr::new(name))), "{name}");
        }
        assert!(!is_called(None));
    }
}
