//! The directory of one run: `<run_root>/<run id>`, always the same path for the same run.
//!
//! Rule: 0700 and locked as long as the run is ours; plan file and secrets are never below it but in memory. A saved
//! plan applied in another absolute path fails half way, so a run that cannot have its path is given back.

use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use rustix::fs::{FlockOperation, flock};

use super::failure::Stop;
use super::private::{PrivateDirectory, is_still};
use super::{Host, rescue};
use crate::configuration;
use crate::delivery::NamedHosts;
use crate::protocol::agent::Claim;
use crate::protocol::limits;
use crate::sandbox::{Files, remove_tree};
use crate::tofu::{backend, modules};

/// Where the unpacked configuration is, below the run directory.
const CONFIGURATION: &str = "configuration";

/// Where the providers are that came from an OCI mirror.
pub(super) const PROVIDERS: &str = "providers";

/// The plan file, in the private directory.
pub(super) const PLAN_FILE: &str = "plan";

/// A run's place on this host.
#[derive(Debug)]
pub(crate) struct RunDirectory {
    path: PathBuf,
    working_directory: PathBuf,
    private: PrivateDirectory,
    _lock: File,
}

/// Why a claimed run has no place here.
#[derive(Debug)]
pub(crate) enum Unplaced {
    /// Its path cannot be had now, or not on this host: the claim is to be given back.
    NotHere(String),
    /// The host cannot do it.
    Broken(Stop),
}

impl From<Stop> for Unplaced {
    fn from(stop: Stop) -> Self {
        Self::Broken(stop)
    }
}

/// The configuration is unpacked and checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    /// Which backend tofu is expected to choose.
    pub(crate) backend: backend::Backend,
    /// The registry hosts that its module sources name.
    pub(crate) sources: NamedHosts,
}

impl RunDirectory {
    /// Takes the run's path. What an earlier claim of the run left there is rescued and wiped first; a living step of
    /// it, or another path in the claim, is an error: the claim is to be given back. Blocks.
    pub(crate) fn reserve(host: &Host, claim: &Claim) -> Result<Self, Unplaced> {
        let path = host.settings.run_root.join(claim.run.to_string());
        if let Some(wanted) = claim.run_directory.as_deref().filter(|wanted| Path::new(wanted) != path) {
            let message = format!("the plan was made in {wanted}, but here the run would be in {}", path.display());
            return Err(Unplaced::NotHere(message));
        }
        let lock = lock_new(host, &path).map_err(|error| match error.kind() {
            io::ErrorKind::ResourceBusy => Unplaced::NotHere(error.to_string()),
            _ => Stop::io(format!("cannot have {}", path.display()), &error).into(),
        })?;
        failpoint!("agent.directory.made");
        let made = |below: &str| {
            let below = path.join(below);
            DirBuilder::new()
                .mode(0o700)
                .create(&below)
                .map_err(|error| Stop::io(format!("cannot make {}", below.display()), &error))
        };
        [CONFIGURATION, PROVIDERS, "home", "tmp"].into_iter().try_for_each(made)?;
        let private = PrivateDirectory::make(&host.secrets, &claim.run.to_string());
        let private = private.map_err(|error| Stop::io("cannot make the run's directory in memory", &error))?;
        failpoint!("agent.directory.private");
        let working_directory = path.join(CONFIGURATION).join(inside(&claim.working_directory)?);
        Ok(Self { path, working_directory, private, _lock: lock })
    }

    /// Unpacks the configuration and looks at what it says of state and modules. Blocks.
    pub(crate) fn prepare(&self, archive: Bytes, digest: &str) -> Result<Prepared, Stop> {
        let found = hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &archive));
        if found != digest {
            let message = format!("the configuration has the digest {found}, but the run is for {digest}");
            return Err(Stop::infrastructure(message, None));
        }
        let root = self.configuration();
        configuration::unpack(archive.reader(), &root, &limits::of_configuration(configuration::Limits::new))?;
        failpoint!("agent.configuration.unpacked");
        rescue::forget_uploaded(&root).map_err(|error| Stop::io("cannot prepare the configuration", &error))?;
        if !self.working_directory.is_dir() {
            let message = "the configuration has no directory of the name that the run names as working directory";
            return Err(Stop::configuration(
                message,
                Some("check `working_directory` of the configuration".to_owned()),
            ));
        }
        let relative = self.working_directory.strip_prefix(&root).unwrap_or(Path::new(""));
        let sources = NamedHosts::of(&modules::named(&root, relative)?);
        let backend = backend::choose(&self.working_directory)?;
        if backend == backend::Backend::Ours {
            backend::write_override(&self.working_directory)?;
        }
        failpoint!("agent.configuration.checked");
        Ok(Prepared { backend, sources })
    }

    /// `<run_root>/<run id>`.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The unpacked configuration.
    pub(crate) fn configuration(&self) -> PathBuf {
        self.path.join(CONFIGURATION)
    }

    /// Where tofu starts.
    pub(crate) fn working_directory(&self) -> &Path {
        &self.working_directory
    }

    /// Where tofu keeps modules and providers: its default, because `path.module` is relative only with it.
    pub(crate) fn data_directory(&self) -> PathBuf {
        self.working_directory.join(".terraform")
    }

    /// The providers that came from an OCI mirror, as `filesystem_mirror` wants them.
    pub(crate) fn providers(&self) -> PathBuf {
        self.path.join(PROVIDERS)
    }

    /// `HOME` of the steps, unless the operator gave one.
    pub(crate) fn home(&self) -> PathBuf {
        self.path.join("home")
    }

    /// `TMPDIR` of the steps.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.path.join("tmp")
    }

    /// In memory.
    pub(crate) fn private(&self) -> &PrivateDirectory {
        &self.private
    }

    /// In memory.
    pub(crate) fn plan_file(&self) -> PathBuf {
        self.private.path().join(PLAN_FILE)
    }

    /// Removes everything and looks again. Only what was in memory counts as a secret that may remain; what is left on
    /// disk is told and swept at the next start.
    pub(crate) async fn wipe(self: Arc<Self>) -> Result<(), String> {
        let wiped = tokio::task::spawn_blocking(move || {
            if let Err(error) = remove_tree(&self.path, Files::Unlinked) {
                tracing::error!(path = %self.path.display(), %error, "a run's directory could not be removed");
            }
            failpoint!("agent.directory.removed");
            let private = self.private.path();
            self.private.wipe().map_err(|error| format!("{} could not be removed: {error}", private.display()))
        });
        wiped.await.unwrap_or_else(|fault| Err(format!("a run's directory was not removed: {fault}")))
    }
}

/// What tofu's directory below the configuration is: plain names only.
fn inside(working_directory: &str) -> Result<PathBuf, Stop> {
    let path = Path::new(working_directory);
    let plain = path.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if plain {
        return Ok(path.components().filter(|part| matches!(part, Component::Normal(_))).collect());
    }
    Err(Stop::configuration(
        format!("the working directory `{working_directory}` leads out of the configuration"),
        None,
    ))
}

/// Makes the directory and locks it, as launchers do: shared, so that a sweep, which wants it alone, stays away.
fn lock_new(host: &Host, path: &Path) -> io::Result<File> {
    for _ in 0..100 {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => clear(host, path)?,
            Err(error) => return Err(error),
            Ok(()) => {
                let lock = File::open(path)?;
                if flock(&lock, FlockOperation::NonBlockingLockShared).is_ok() && is_still(&lock, path) {
                    return Ok(lock);
                }
            }
        }
    }
    Err(io::ErrorKind::ResourceBusy.into())
}

/// Removes what an earlier claim left, unless a step of it still lives.
fn clear(host: &Host, path: &Path) -> io::Result<()> {
    let Ok(left) = File::open(path) else { return Ok(()) };
    if flock(&left, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(io::Error::new(io::ErrorKind::ResourceBusy, "a step of an earlier claim of this run still lives"));
    }
    rescue::keep_aside(host, path)?;
    remove_tree(path, Files::Unlinked)
}

#[cfg(test)]
mod tests {
    use super::inside;

    #[test]
    fn a_working_directory_stays_inside() {
        for (given, expected) in [("", ""), (".", ""), ("envs/prod", "envs/prod"), ("./a/./b/", "a/b")] {
            assert_eq!(inside(given).unwrap().to_str().unwrap(), expected);
        }
        for given in ["..", "a/../..", "/etc", "a/../b"] {
            assert!(inside(given).is_err(), "{given}");
        }
    }
}
