//! `errored.tfstate`: what tofu leaves in its working directory when it could not write the state.
//!
//! Rule: it may be the only record of resources that exist, so nothing is wiped before it is safe: written as the
//! workspace's state, or kept aside in the state directory and spoken of.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;

use super::Host;
use super::host::make_private;
use crate::gateway::{StateStore, StoreError};
use crate::protocol::api::StateLock;
use crate::protocol::id::RunId;

/// tofu's name for it.
const ERRORED: &str = "errored.tfstate";

/// Where it is kept aside, below the state directory.
const ASIDE: &str = "rescued";

/// Tries to make it the workspace's state. `None` when there was nothing to rescue, else what to tell people.
pub(crate) async fn state(host: &Host, run_directory: &Path, store: &impl StateStore) -> Option<String> {
    let found = find(run_directory);
    let path = found.first()?;
    let written = match fs::read(path) {
        Ok(state) => write(store, &run_directory.display().to_string(), state.into()).await,
        Err(error) => Err(error.to_string()),
    };
    match written {
        Ok(()) => {
            let _ = fs::remove_file(path);
            Some("tofu could not write the state; nigari wrote it afterwards from `errored.tfstate`".to_owned())
        }
        Err(error) => match keep_aside(host, run_directory) {
            Ok(kept) => Some(format!(
                "the state could not be written ({error}); it is kept on the agent's host in {}; bring it in with \
                 `nigari state push`",
                kept.map_or_else(String::new, |path| path.display().to_string())
            )),
            Err(error) => Some(format!("the state could neither be written nor kept aside: {error}")),
        },
    }
}

/// Under a lock of its own, or under the one that tofu left behind.
async fn write(store: &impl StateStore, who: &str, state: Bytes) -> Result<(), String> {
    let lock = StateLock {
        id: uuid::Uuid::new_v4().to_string(),
        operation: "Rescue".to_owned(),
        who: who.to_owned(),
        ..StateLock::default()
    };
    let json: Bytes = serde_json::to_vec(&lock).map_err(|error| error.to_string())?.into();
    let told = |error: StoreError| error.to_string();
    let mut held = (lock.id.clone(), json.clone());
    for attempt in 0..5_u32 {
        match store.lock(json.clone()).await {
            Ok(()) => break,
            // tofu died with its lock. The server knows which run took it, and lets no other run write under it.
            Err(StoreError::Locked(holder)) => {
                let id = serde_json::from_slice::<StateLock>(&holder).map_err(|error| error.to_string())?.id;
                held = (id, holder);
                break;
            }
            // The server may still be away, which is why tofu failed.
            Err(StoreError::Away(_)) if attempt < 4 => tokio::time::sleep(Duration::from_secs(1 << attempt)).await,
            Err(error) => return Err(told(error)),
        }
    }
    let state = if store.read().await.map_err(told)?.is_none() { with_lineage(state) } else { state };
    let (id, json) = held;
    store.write(Some(&id), state).await.map_err(told)?;
    store.unlock(json).await.map_err(told)
}

/// A state that tofu never wrote has no lineage yet (seen with 1.12.6); the first one may have any.
fn with_lineage(state: Bytes) -> Bytes {
    const NONE: &[u8] = b"\"lineage\": \"\"";
    // It stands before everything that a configuration's author can name.
    let head = state.get(..state.len().min(256)).unwrap_or_default();
    let Some(at) = head.windows(NONE.len()).position(|window| window == NONE) else { return state };
    let mut named = state.get(..at).unwrap_or_default().to_vec();
    named.extend_from_slice(format!("\"lineage\": \"{}\"", uuid::Uuid::new_v4()).as_bytes());
    named.extend_from_slice(state.get(at + NONE.len()..).unwrap_or_default());
    named.into()
}

/// Moves it into the state directory, 0600. `None` when there is nothing. Blocks.
pub(crate) fn keep_aside(host: &Host, run_directory: &Path) -> io::Result<Option<PathBuf>> {
    let mut kept = None;
    for path in find(run_directory) {
        let aside = host.settings.state_directory.join(ASIDE);
        make_private(&aside)?;
        let run = run_directory.file_name().unwrap_or_default().to_string_lossy();
        let target = aside.join(format!("{run}-{}.tfstate", host.clock.now()));
        copy_private(&path, &target)?;
        failpoint!("agent.rescue.copied");
        fs::remove_file(&path)?;
        tracing::error!(path = %target.display(), "a state that tofu could not write was kept aside");
        kept = Some(target);
    }
    Ok(kept)
}

/// What was kept aside of a run, now or earlier.
pub(crate) fn kept(host: &Host, run: RunId) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(host.settings.state_directory.join(ASIDE)) else { return Vec::new() };
    let of_run = format!("{run}-");
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&of_run))
        .map(|entry| entry.path())
        .collect()
}

fn copy_private(from: &Path, to: &Path) -> io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let mut source = fs::File::open(from)?;
    let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
    io::copy(&mut source, &mut target)?;
    target.sync_all()
}

/// An uploaded file of that name is nobody's state and must not pass for one later.
pub(crate) fn forget_uploaded(configuration: &Path) -> io::Result<()> {
    find(configuration).iter().try_for_each(fs::remove_file)
}

/// Every one below the run directory: the working directory is not known after a restart.
fn find(run_directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![run_directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                // Fetched modules and providers are nobody's working directory.
                Ok(kind) if kind.is_dir() && entry.file_name() != ".terraform" => open.push(entry.path()),
                Ok(kind) if kind.is_file() && entry.file_name() == ERRORED => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::with_lineage;

    #[test]
    fn a_state_without_a_lineage_gets_one_and_one_with_keeps_it() {
        let none = b"{\n  \"version\": 4,\n  \"serial\": 1,\n  \"lineage\": \"\",\n  \"outputs\": {}\n}";
        let named: serde_json::Value = serde_json::from_slice(&with_lineage(none.to_vec().into())).unwrap();
        assert_eq!(named["lineage"].as_str().unwrap().len(), 36);
        assert!(named["outputs"].is_object());
        let some = b"{\"lineage\": \"x\"}".to_vec();
        assert_eq!(with_lineage(some.clone().into()), some);
    }
}
