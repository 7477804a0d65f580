//! Where secret directories are made: a directory of this user alone, in memory.
//!
//! Rule: what a path says about itself counts for nothing; the opened directory is asked (statfs, fstat), and links
//! are not followed.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, CWD, Mode, OFlags, access, fstat, fstatfs, mkdirat, open};
use rustix::process::geteuid;

use super::{SecretDirectory, SecretFile};

/// `f_type` of tmpfs (linux/magic.h).
const TMPFS: u64 = 0x0102_1994;

/// `f_type` of ramfs (linux/magic.h).
const RAMFS: u64 = 0x8584_58f6;

/// The lowest bits of a mode, which are the rights of the group and of others.
const OTHERS_BITS: u32 = 6;

/// What all secret roots begin with; the owner's number follows.
const PREFIX: &str = "nigari-";

/// Where this host's secret directories are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRoot {
    path: PathBuf,
    allow_disk: bool,
}

/// Why there is no place for secrets.
#[derive(Debug, thiserror::Error)]
pub enum SecretRootError {
    /// None of the candidates will do.
    #[error("no place in memory for secret files: {reasons}; hint: {hint}")]
    NoCandidate {
        /// Each candidate and what is wrong with it.
        reasons: String,
        /// What to do.
        hint: String,
    },
}

/// What is wrong with a secret root.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootProblem {
    #[error("it is on a disk (file system type {file_system:#x})")]
    OnDisk { file_system: u64 },
    #[error("it belongs to another user ({owner})")]
    Owner { owner: u32 },
    #[error("other users may enter it (mode {mode:o})")]
    Mode { mode: u32 },
    #[error("{0}")]
    Open(io::Error),
}

impl RootProblem {
    /// Whether it is the directory in the candidate that is at fault, not the candidate itself.
    fn is_of_ours(&self) -> bool {
        matches!(self, Self::Owner { .. } | Self::Mode { .. })
    }

    /// What mends it at `place`, which is the only candidate if a setting names it.
    fn hint(&self, place: &Path, is_only: bool) -> Option<String> {
        match self {
            Self::Mode { .. } => Some(format!("chmod 700 {}", place.display())),
            Self::OnDisk { .. } | Self::Open(_) if is_only => {
                Some("choose a directory on a tmpfs (`secret_root`), or leave that setting out".to_owned())
            }
            Self::OnDisk { .. } | Self::Owner { .. } | Self::Open(_) => None,
        }
    }
}

impl SecretRoot {
    /// Takes the first of `candidates` (absolute paths, best first) in which a directory `nigari-<uid>` on tmpfs or
    /// ramfs is ours or can be made. With `allow_disk` a disk is taken if there is nothing better.
    pub fn choose(candidates: &[PathBuf], allow_disk: bool) -> Result<Self, SecretRootError> {
        let mut refused = Refused::default();
        for allow_disk in [false, true].into_iter().take(if allow_disk { 2 } else { 1 }) {
            for candidate in candidates {
                let path = candidate.join(own_name());
                match prepare(candidate, &path, allow_disk) {
                    Ok(()) => return Ok(Self { path, allow_disk }),
                    Err(problem) => refused.add(&problem, candidate, &path, candidates.len() == 1),
                }
            }
        }
        Err(refused.into_error())
    }

    /// Where [`SecretRoot::choose`] would put secrets, without a disk; makes nothing.
    pub fn look(candidates: &[PathBuf]) -> Result<PathBuf, SecretRootError> {
        let mut refused = Refused::default();
        for candidate in candidates {
            let path = candidate.join(own_name());
            match would_do(candidate, &path) {
                Ok(()) => return Ok(path),
                Err(problem) => refused.add(&problem, candidate, &path, candidates.len() == 1),
            }
        }
        Err(refused.into_error())
    }

    /// Every secret root of this user that there is in `candidates`, usable or not.
    pub fn existing(candidates: &[PathBuf]) -> Vec<PathBuf> {
        let is_ours = |path: &PathBuf| {
            std::fs::symlink_metadata(path).is_ok_and(|found| found.is_dir() && found.uid() == geteuid().as_raw())
        };
        candidates.iter().map(|candidate| candidate.join(own_name())).filter(is_ours).collect()
    }

    /// The secret roots of other users in `candidates`, each with its owner's number.
    pub fn of_others(candidates: &[PathBuf]) -> Vec<(PathBuf, u32)> {
        let entries = candidates.iter().filter_map(|candidate| std::fs::read_dir(candidate).ok()).flatten().flatten();
        let of_other = |entry: std::fs::DirEntry| {
            let owner = entry.file_name().to_str()?.strip_prefix(PREFIX)?.parse().ok()?;
            let found = entry.metadata().ok().filter(|found| found.is_dir() && found.uid() == owner)?;
            (found.uid() != geteuid().as_raw()).then(|| (entry.path(), owner))
        };
        entries.filter_map(of_other).collect()
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names a new secret directory with `files`; the launcher makes it.
    pub fn directory(&self, files: Vec<SecretFile>) -> SecretDirectory {
        let name = uuid::Uuid::new_v4().simple().to_string();
        SecretDirectory { root: self.path.clone(), name, files, allow_disk: self.allow_disk }
    }
}

/// What this user's secret root is called.
fn own_name() -> String {
    format!("{PREFIX}{}", geteuid().as_raw())
}

/// Whether it is called as this user's secret root is.
pub(super) fn is_named_after_us(root: &Path) -> bool {
    root.file_name().is_some_and(|name| name == own_name().as_str())
}

/// Candidates that do not do.
#[derive(Default)]
struct Refused {
    reasons: Vec<String>,
    hint: Option<String>,
}

impl Refused {
    fn add(&mut self, problem: &RootProblem, candidate: &Path, path: &Path, is_only: bool) {
        let place = if problem.is_of_ours() { path } else { candidate };
        self.reasons.push(format!("{}: {problem}", place.display()));
        self.hint = self.hint.take().or_else(|| problem.hint(place, is_only));
    }

    fn into_error(mut self) -> SecretRootError {
        if self.reasons.is_empty() {
            self.reasons.push("no candidate was given".to_owned());
        }
        let usual = || "give the agent a RuntimeDirectory or mount a tmpfs on /dev/shm".to_owned();
        SecretRootError::NoCandidate { reasons: self.reasons.join(", "), hint: self.hint.unwrap_or_else(usual) }
    }
}

/// Whether [`prepare`] would find it in order or could make it.
fn would_do(candidate: &Path, path: &Path) -> Result<(), RootProblem> {
    let parent = open(candidate, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(problem)?;
    check_memory(&parent, false)?;
    match open_root(path, false) {
        Err(RootProblem::Open(error)) if error.kind() == io::ErrorKind::NotFound => {
            access(candidate, Access::WRITE_OK | Access::EXEC_OK).map_err(problem)
        }
        looked => looked.map(drop),
    }
}

fn prepare(candidate: &Path, path: &Path, allow_disk: bool) -> Result<(), RootProblem> {
    // Asked before anything is made, so that nothing is left on a disk that is then refused.
    let parent = open(candidate, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(problem)?;
    check_memory(&parent, allow_disk)?;
    match mkdirat(CWD, path, Mode::RWXU) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => {}
        Err(errno) => return Err(problem(errno)),
    }
    open_root(path, allow_disk).map(drop)
}

/// Opens a secret root after all checks.
pub(super) fn open_root(path: &Path, allow_disk: bool) -> Result<OwnedFd, RootProblem> {
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let root = open(path, flags, Mode::empty()).map_err(problem)?;
    check_memory(&root, allow_disk)?;
    let stat = fstat(&root).map_err(problem)?;
    if stat.st_uid != geteuid().as_raw() {
        return Err(RootProblem::Owner { owner: stat.st_uid });
    }
    let mode = stat.st_mode & 0o7777;
    if mode.trailing_zeros() >= OTHERS_BITS { Ok(root) } else { Err(RootProblem::Mode { mode }) }
}

fn check_memory(directory: &OwnedFd, allow_disk: bool) -> Result<(), RootProblem> {
    let kind = fstatfs(directory).map_err(problem)?.f_type;
    // Signed on some architectures, and wider than the constants on most.
    let file_system = u64::try_from(kind).unwrap_or_default() & 0xffff_ffff;
    if allow_disk || file_system == TMPFS || file_system == RAMFS {
        Ok(())
    } else {
        Err(RootProblem::OnDisk { file_system })
    }
}

fn problem(errno: rustix::io::Errno) -> RootProblem {
    RootProblem::Open(errno.into())
}
