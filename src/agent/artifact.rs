//! What a plan hands to its apply: plan file, lock file, fetched modules and the providers from OCI mirrors, as one
//! `.tar.gz`.
//!
//! Rule: its digest is what is approved, so nothing that tofu reads at apply can change in between: the uploaded part
//! of the configuration has a digest of its own in the claim. Packed and unpacked in memory, because a plan file
//! holds sensitive values in clear. Other providers are not in it: `init` installs what the lock file pins. A provider
//! has run when it is packed, so only what really is in the run's directory is packed.

use std::fs::{self, File};
use std::io::{self, BufReader, Write as _};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use tar::{Archive, Builder, EntryType};

use super::directory::{PLAN_FILE, RunDirectory};
use super::failure::Stop;
use super::private::create_anew;
use super::providers;
use super::steps::{Fetched, Run, ask};
use crate::protocol::limits::{ARTIFACT_BYTES, ARTIFACT_UNPACKED_BYTES};

const FILE: &str = "artifact.tar.gz";
const PLAN: &str = "plan";
const LOCK: &str = "lock.hcl";
const MODULES: &str = "modules";
const PROVIDERS: &str = "providers";
/// tofu's name for the lock file.
const LOCK_FILE: &str = ".terraform.lock.hcl";

/// Packs and uploads; gives the digest.
pub(crate) async fn seal(run: &Run<'_>) -> Result<String, Stop> {
    let directory = Arc::clone(run.directory);
    let path = directory.private().path().join(FILE);
    let packed = tokio::task::spawn_blocking(move || pack(&directory)).await;
    let digest = packed.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    let digest = digest.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => too_large(),
        _ => Stop::io("cannot pack the plan", &error),
    })?;
    failpoint!("agent.artifact.packed");
    let patience = run.host.settings.patience.request;
    ask(run.lease, patience, || run.lease.server.put_artifact(&path, &digest)).await?;
    failpoint!("agent.artifact.sent");
    Ok(digest)
}

/// Downloads the approved artifact; its digest must be the one that was approved.
pub(crate) async fn fetch(run: &Run<'_>) -> Result<PathBuf, Stop> {
    let path = run.directory.private().path().join(FILE);
    let wanted = run.lease.claim.artifact_digest.as_deref().unwrap_or_default();
    let patience = run.host.settings.patience.request;
    let download = ask(run.lease, patience, || async {
        let download = run.lease.server.artifact().await?;
        match run.directory.private().create(Path::new(FILE)) {
            Ok(file) => download.write_to(&mut tokio::fs::File::from_std(file), &path).await.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    });
    download.await?.map_err(|error| Stop::io("cannot keep the plan's artifact", &error))?;
    failpoint!("agent.artifact.fetched");
    let sum = path.clone();
    let digest = tokio::task::spawn_blocking(move || digest_of(&sum)).await;
    let digest = digest.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    let digest = digest.map_err(|error| Stop::io("cannot read the plan's artifact", &error))?;
    if digest == wanted {
        return Ok(path);
    }
    Err(Stop::infrastructure(format!("the plan's artifact has the digest {digest}, but {wanted} was approved"), None))
}

/// Puts plan, lock file and modules to where they were made.
pub(crate) async fn restore(run: &Run<'_>, artifact: PathBuf) -> Result<Fetched, Stop> {
    let directory = Arc::clone(run.directory);
    let unpacked = tokio::task::spawn_blocking(move || unpack(&artifact, &directory)).await;
    let unpacked = unpacked.unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    unpacked.map_err(|error| Stop::io("cannot unpack the plan's artifact", &error))?;
    failpoint!("agent.artifact.restored");
    Ok(Fetched::restored())
}

fn too_large() -> Stop {
    Stop::configuration(
        format!("plan, modules and providers are more than the {} MiB that a run may keep", ARTIFACT_BYTES >> 20),
        Some(
            "let the workspace apply by itself (`--auto-apply`), or take large providers from a `filesystem_mirror` on the \
             agents' hosts"
                .to_owned(),
        ),
    )
}

/// Writes what it is given to a file and sums it up; only so many bytes.
struct Summing {
    file: File,
    sum: Context,
    left: u64,
}

impl io::Write for Summing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.left = self.left.checked_sub(written as u64).ok_or(io::ErrorKind::FileTooLarge)?;
        self.sum.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

fn pack(directory: &RunDirectory) -> io::Result<String> {
    let file = directory.private().create(Path::new(FILE))?;
    let summing = Summing { file, sum: Context::new(&SHA256), left: ARTIFACT_BYTES };
    let mut builder = Builder::new(GzEncoder::new(summing, Compression::fast()));
    builder.follow_symlinks(false);
    builder.append_path_with_name(directory.plan_file(), PLAN)?;
    let lock = directory.working_directory().join(LOCK_FILE);
    if lock.is_file() {
        builder.append_path_with_name(lock, LOCK)?;
    }
    for (name, path) in [(MODULES, directory.data_directory().join(MODULES)), (PROVIDERS, directory.providers())] {
        // What is below is not followed; what it is itself would be.
        if providers::is_real(directory.path(), &path)? {
            builder.append_dir_all(name, path)?;
        }
    }
    let mut summing = builder.into_inner()?.finish()?;
    summing.flush()?;
    Ok(hex::encode(summing.sum.finish()))
}

/// Only what [`pack`] writes, and links only to what is beside them.
fn unpack(artifact: &Path, directory: &RunDirectory) -> io::Result<()> {
    let data = directory.data_directory();
    fs::create_dir_all(&data)?;
    let limited = io::Read::take(GzDecoder::new(BufReader::new(File::open(artifact)?)), ARTIFACT_UNPACKED_BYTES);
    let mut archive = Archive::new(limited);
    archive.set_preserve_permissions(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = entry.path()?.into_owned();
        let refused = || io::Error::new(io::ErrorKind::InvalidData, format!("`{}` has no place in it", name.display()));
        match name.to_str() {
            Some(PLAN) if entry.header().entry_type().is_file() => {
                io::copy(&mut entry, &mut directory.private().create(Path::new(PLAN_FILE))?)?;
            }
            Some(LOCK) if entry.header().entry_type().is_file() => {
                let lock = directory.working_directory().join(LOCK_FILE);
                // The uploaded one, which the plan's own `init` may have added to.
                remove_file(&lock)?;
                io::copy(&mut entry, &mut create_anew(&lock)?)?;
            }
            _ if is_allowed(entry.header().entry_type()) => {
                let place = match name.components().next() {
                    Some(Component::Normal(first)) if first == MODULES => data.as_path(),
                    Some(Component::Normal(first)) if first == PROVIDERS => directory.path(),
                    _ => return Err(refused()),
                };
                let link = entry.link_name()?.map(std::borrow::Cow::into_owned);
                if link.is_some_and(|link| !stays_inside(&name, &link)) || !entry.unpack_in(place)? {
                    return Err(refused());
                }
            }
            _ => return Err(refused()),
        }
    }
    fs::remove_file(artifact)
}

fn is_allowed(kind: EntryType) -> bool {
    matches!(kind, EntryType::Regular | EntryType::Directory | EntryType::Symlink)
}

/// Whether a link at `name` leads to something below the first directory of `name`.
fn stays_inside(name: &Path, link: &Path) -> bool {
    // How deep we are below that.
    let mut depth = name.components().count().saturating_sub(2);
    for part in link.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return false,
        }
    }
    true
}

fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut sum = Context::new(&SHA256);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = io::Read::read(&mut file, &mut buffer)?;
        if length == 0 {
            return Ok(hex::encode(sum.finish()));
        }
        sum.update(buffer.get(..length).unwrap_or_default());
    }
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Write as _};
    use std::path::Path;

    use aws_lc_rs::digest::{Context, SHA256};

    use super::{Summing, stays_inside, too_large};
    use crate::agent::failure::Stop;

    #[test]
    fn what_is_too_large_to_be_kept_is_told_with_what_to_do() {
        let file = tempfile::tempfile().unwrap();
        let mut summing = Summing { file, sum: Context::new(&SHA256), left: 3 };
        summing.write_all(b"abc").unwrap();
        assert_eq!(summing.write_all(b"d").unwrap_err().kind(), ErrorKind::FileTooLarge);
        let Stop::Failed(failure) = too_large() else { panic!() };
        assert!(failure.message.contains("1024 MiB") && failure.hint.unwrap().contains("--auto-apply"));
    }

    #[test]
    fn a_link_leads_nowhere_outside_of_the_modules() {
        for (name, link) in [("modules/a/link", "b"), ("modules/a/link", "../b/c"), ("modules/a/x/link", "../../b")] {
            assert!(stays_inside(Path::new(name), Path::new(link)), "{name} -> {link}");
        }
        for (name, link) in [
            ("modules/a/link", "/etc"),
            ("modules/a/link", "../../x"),
            ("modules/link", ".."),
            ("modules/a/l", "../../../etc"),
        ] {
            assert!(!stays_inside(Path::new(name), Path::new(link)), "{name} -> {link}");
        }
    }
}
