//! `errored.tfstate`: what tofu leaves in its working directory when it could not write the state.
//!
//! Rule: it may be the only record of resources that exist, so nothing is wiped before it is safe: written as the
//! workspace's state, or kept aside in the state directory and spoken of. No more of it is in memory than the server
//! takes, and what is larger is kept aside without being read.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::fs::OFlags;

use super::Host;
use super::directory::PROVIDERS;
use super::host::make_private;
use crate::gateway::{StateStore, StoreError};
use crate::protocol::api::StateLock;
use crate::protocol::id::RunId;
use crate::protocol::limits::STATE_BYTES;

/// tofu's name for it.
const ERRORED: &str = "errored.tfstate";

/// Where it is kept aside, below the state directory.
const ASIDE: &str = "rescued";

/// Tries to make it the workspace's state. `None` when there was nothing to rescue, else what to tell people.
pub(crate) async fn state(host: &Host, run_directory: &Path, store: &impl StateStore) -> Option<String> {
    let found = find(run_directory);
    let path = found.first()?;
    let written = match read(path) {
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
    let run = run_directory.file_name().unwrap_or_default().to_string_lossy();
    let mut kept = None;
    for path in find(run_directory) {
        let aside = host.settings.state_directory.join(ASIDE);
        make_private(&aside)?;
        let target = aside.join(format!("{run}-{}.tfstate", host.clock.now()));
        move_private(&path, &target)?;
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

/// As a whole, if the server can take it at all.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let too_large =
        |bytes| io::Error::other(format!("it has {bytes} bytes, and the server takes {STATE_BYTES} at most"));
    let file = open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    if length > STATE_BYTES {
        return Err(too_large(length));
    }
    let mut state = Vec::with_capacity(length);
    file.take(STATE_BYTES as u64 + 1).read_to_end(&mut state)?;
    if state.len() > STATE_BYTES { Err(too_large(state.len())) } else { Ok(state) }
}

/// A file, and nothing that a step put in its place.
fn open(path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = fs::OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path)?;
    if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is not a file")) }
}

/// By its name where that is possible, because it may be larger than there is room for a copy.
fn move_private(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = open(from)?;
    source.set_permissions(Permissions::from_mode(0o600))?;
    if fs::hard_link(from, to).is_err() {
        let mut target = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(to)?;
        io::copy(&mut source, &mut target)?;
        target.sync_all()?;
    } else {
        source.sync_all()?;
        let (opened, moved) = (source.metadata()?, fs::symlink_metadata(to)?);
        if (opened.dev(), opened.ino()) != (moved.dev(), moved.ino()) {
            fs::remove_file(to)?;
            return Err(io::Error::other("another file was put in its place"));
        }
    }
    failpoint!("agent.rescue.copied");
    fs::remove_file(from)
}

/// An uploaded file of that name is nobody's state and must not pass for one later.
pub(crate) fn forget_uploaded(configuration: &Path) -> io::Result<()> {
    find(configuration).iter().try_for_each(fs::remove_file)
}

/// Every one below the run directory: the working directory is not known after a restart.
fn find(run_directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let providers = run_directory.join(PROVIDERS);
    let mut open = vec![run_directory.to_owned()];
    while let Some(directory) = open.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            match entry.file_type() {
                // Fetched modules and providers are nobody's working directory.
                Ok(kind) if kind.is_dir() && entry.file_name() != ".terraform" && entry.path() != providers => {
                    open.push(entry.path());
                }
                Ok(kind) if kind.is_file() && entry.file_name() == ERRORED => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::PermissionsExt as _;

    use super::{move_private, read, with_lineage};
    use crate::protocol::limits::STATE_BYTES;

    #[test]
    fn a_state_that_no_server_takes_is_not_read_and_still_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        // Larger than the memory of most hosts, and of the disk; only its length is.
        let huge = 1 << 42;
        File::create(path("errored.tfstate")).unwrap().set_len(huge).unwrap();
        let told = read(&path("errored.tfstate")).unwrap_err().to_string();
        assert!(told.contains(&huge.to_string()) && told.contains(&STATE_BYTES.to_string()), "{told}");
        move_private(&path("errored.tfstate"), &path("kept")).unwrap();
        let kept = fs::metadata(path("kept")).unwrap();
        assert_eq!((kept.len(), kept.permissions().mode() & 0o777), (huge, 0o600));
        assert!(!path("errored.tfstate").exists());
    }

    #[test]
    fn what_fits_is_read_and_what_is_no_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("state"), "{}").unwrap();
        assert_eq!(read(&path("state")).unwrap(), b"{}");
        std::os::unix::fs::symlink(path("state"), path("link")).unwrap();
        for name in ["link", "."] {
            assert!(read(&path(name)).is_err() && move_private(&path(name), &path("kept")).is_err(), "{name}");
        }
        fs::write(path("there"), "another").unwrap();
        assert!(move_private(&path("state"), &path("there")).is_err());
        assert_eq!(fs::read(path("there")).unwrap(), b"another");
        // On another file system it is a copy.
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        move_private(&path("state"), &memory.path().join("kept")).unwrap();
        assert_eq!(fs::read(memory.path().join("kept")).unwrap(), b"{}");
    }

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
