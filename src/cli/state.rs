//! `nigari state …`
//!
//! Rule: a push never takes the place of a state that it does not descend from, unless `--force` says so; it holds
//! the state's lock while it writes.

use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Deserialize;

use super::error::CommandError;
use super::private_file;
use super::screen::time;
use super::session::Session;
use crate::protocol::api::StateLock;
use crate::protocol::id::RequestId;
use crate::protocol::limits::STATE_BYTES;
use crate::settings::environment::host_name;

/// Verbs.
#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Write a workspace's newest state to stdout or a file
    Pull {
        /// The workspace
        #[arg(short, long)]
        workspace: String,
        /// Write it to this new file (mode 0600); a state can hold secrets
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Make a local state the newest one of a workspace
    Push(PushArguments),
    /// List the versions of a workspace's state, newest first
    List {
        /// The workspace
        #[arg(short, long)]
        workspace: String,
    },
    /// Take a lock away whose holder is gone; a holder that is not gone can lose what it writes
    Unlock {
        /// The lock's id, as `nigari workspace show` tells it
        lock: String,
        /// The workspace
        #[arg(short, long)]
        workspace: String,
    },
}

/// Arguments of `push`.
#[derive(Debug, Args)]
pub(super) struct PushArguments {
    /// The state, `-` for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The workspace
    #[arg(short, long)]
    workspace: String,
    /// Even if lineage or serial do not fit what is there
    #[arg(long)]
    force: bool,
}

/// What tofu writes at the top of every state (format version 4).
#[derive(Debug, Deserialize)]
struct Header {
    version: u64,
    serial: u64,
    lineage: String,
}

/// Runs a verb.
pub(super) async fn run(verb: Verb, session: &Session) -> Result<(), CommandError> {
    let Session { client, screen, .. } = session;
    match verb {
        Verb::Pull { workspace, out } => pull(&workspace, out.as_deref(), session).await,
        Verb::Push(arguments) => push(arguments, session).await,
        Verb::Unlock { lock, workspace } => unlock(lock, &workspace, session).await,
        Verb::List { workspace } => {
            let heading = &["SERIAL", "WRITTEN", "BY", "BYTES", "LINEAGE", "ID"];
            screen.list(&client.state_versions(&workspace).await?, heading, |version| {
                let by = version.run.map(|run| run.to_string()).or_else(|| version.created_by.clone());
                vec![
                    version.serial.to_string(),
                    time(version.created_at),
                    by.unwrap_or_default(),
                    version.bytes.to_string(),
                    version.lineage.clone(),
                    version.id.to_string(),
                ]
            })
        }
    }
}

async fn unlock(lock: String, workspace: &str, session: &Session) -> Result<(), CommandError> {
    // A lock that is not there cannot be told from one that was just taken away, by the server's answer alone.
    if session.client.workspace(workspace).await?.state_lock.is_none() {
        return Err(CommandError::refused(
            format!("the state of `{workspace}` is not locked"),
            "`nigari workspace show` tells the lock, if there is one",
        ));
    }
    session.client.unlock_state(workspace, &StateLock { id: lock, ..StateLock::default() }).await?;
    session.screen.note(format_args!("the state of `{workspace}` is unlocked"));
    Ok(())
}

async fn pull(workspace: &str, out: Option<&Path>, session: &Session) -> Result<(), CommandError> {
    let Some(state) = session.client.state(workspace).await? else {
        return Err(CommandError::refused(
            format!("the workspace `{workspace}` has no state"),
            "it gets one by its first apply, or by `nigari state push`; with a backend of its own, ask that",
        ));
    };
    match out {
        Some(path) => private_file::write_new(path, &state),
        None => session.screen.bytes(&state),
    }
}

async fn push(arguments: PushArguments, session: &Session) -> Result<(), CommandError> {
    let PushArguments { file, workspace, force } = arguments;
    let state = read(&file)?;
    let new = header(&state).ok_or_else(|| {
        CommandError::refused(format!("{} is not a state", file.display()), "it looks like `terraform.tfstate`")
    })?;
    let lock = StateLock {
        id: RequestId::generate().to_string(),
        operation: "state push".to_owned(),
        who: host_name(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        ..StateLock::default()
    };
    session.client.lock_state(&workspace, &lock).await?;
    let written = async {
        if !force && let Some(old) = session.client.state(&workspace).await?.as_deref().and_then(header) {
            check(&old, &new)?;
        }
        let client = &session.client;
        if force {
            client.overwrite_state(&workspace, Some(&lock.id), state).await?;
        } else {
            client.write_state(&workspace, Some(&lock.id), state).await?;
        }
        Ok::<_, CommandError>(())
    };
    let written = written.await;
    // A lock that stays is worse than a second error, and the first is the one to tell.
    let unlocked = session.client.unlock_state(&workspace, &lock).await;
    written?;
    unlocked?;
    session.screen.note(format_args!("the state of `{workspace}` is now serial {}", new.serial));
    Ok(())
}

fn check(old: &Header, new: &Header) -> Result<(), CommandError> {
    let hint = "`nigari state pull` shows what is there; `--force` takes its place all the same";
    if old.lineage != new.lineage {
        let message = format!("the lineage is {}, the workspace's state has {}", new.lineage, old.lineage);
        return Err(CommandError::refused(message, hint));
    }
    if new.serial <= old.serial {
        let message = format!("the serial is {}, the workspace's state has {} already", new.serial, old.serial);
        return Err(CommandError::refused(message, hint));
    }
    Ok(())
}

fn header(state: &[u8]) -> Option<Header> {
    serde_json::from_slice::<Header>(state).ok().filter(|header| header.version == 4 && !header.lineage.is_empty())
}

fn read(file: &Path) -> Result<Bytes, CommandError> {
    let failed = |source| CommandError::named(format!("cannot read {}", file.display()), source);
    let mut source: Box<dyn Read> = if file == Path::new("-") {
        Box::new(std::io::stdin().lock())
    } else {
        Box::new(std::fs::File::open(file).map_err(failed)?)
    };
    let mut state = Vec::new();
    source.by_ref().take(STATE_BYTES as u64 + 1).read_to_end(&mut state).map_err(failed)?;
    if state.len() > STATE_BYTES {
        return Err(CommandError::refused(format!("the state has more than {STATE_BYTES} bytes"), "split it"));
    }
    Ok(state.into())
}

#[cfg(test)]
mod tests {
    use super::{check, header};

    fn state(serial: u64, lineage: &str) -> Vec<u8> {
        format!(r#"{{"version":4,"serial":{serial},"lineage":"{lineage}","resources":[]}}"#).into_bytes()
    }

    #[test]
    fn only_a_descendant_takes_the_place_of_a_state() {
        let of = |serial, lineage| header(&state(serial, lineage)).unwrap();
        assert!(check(&of(3, "a"), &of(4, "a")).is_ok());
        for (serial, lineage) in [(3, "a"), (2, "a"), (4, "b")] {
            assert!(check(&of(3, "a"), &of(serial, lineage)).is_err(), "{serial} {lineage}");
        }
    }

    #[test]
    fn what_is_no_state_is_told_from_one() {
        for text in
            ["", "{}", "[]", r#"{"version":3,"serial":1,"lineage":"a"}"#, r#"{"version":4,"serial":1,"lineage":""}"#]
        {
            assert!(header(text.as_bytes()).is_none(), "{text}");
        }
    }
}
