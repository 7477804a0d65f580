//! Landlock: what a step may open, and whom it may signal, held by the kernel whatever the step does.
//!
//! Rule: everything that this kernel can do of it is done, and what it cannot do is no error: `doctor` tells. In the
//! sandbox `namespace` the rules are the view; in `process`, where a host's programs are not known, they are everything
//! but what is hidden. Connecting to a Unix socket by its path is not covered by any version so far.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible as _, PathBeneath, PathFd, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, Scope,
};

use super::protocol::View;

/// The newest version whose rights on files are asked for: 5 is the first that knows device ioctls (landlock(7)).
const FILES: ABI = ABI::V5;

/// The version with scopes: neither signals nor abstract Unix sockets reach out of the step.
const SCOPES: ABI = ABI::V6;

/// All versions that have brought something, newest first.
const VERSIONS: [(ABI, u32); 6] = [(ABI::V6, 6), (ABI::V5, 5), (ABI::V4, 4), (ABI::V3, 3), (ABI::V2, 2), (ABI::V1, 1)];

/// Where devices are that a step in `namespace` has, besides its own files.
const DEVICES: &str = "/dev";

/// What a process is to be kept from. Made before the fork, closed behind it.
pub(super) struct Fence(RulesetCreated);

impl Fence {
    /// For a step that sees its view alone. `system` are the directories that every step reads; `temporary` those of
    /// its own in memory. Called within the new root.
    pub(super) fn of_view(
        view: &View,
        system: &[&str],
        temporary: &[&str],
        secrets: Option<&Path>,
    ) -> Result<Self, String> {
        let mut fence = Self::new(true)?;
        for path in system.iter().map(Path::new).chain(view.readable.iter().map(PathBuf::as_path)) {
            fence.allow(path, read())?;
        }
        for path in temporary.iter().map(Path::new).chain(view.writable.iter().map(PathBuf::as_path)) {
            fence.allow(path, AccessFs::from_all(FILES))?;
        }
        fence.allow(Path::new(DEVICES), read() | AccessFs::WriteFile | AccessFs::IoctlDev)?;
        if view.has_processes {
            fence.allow(Path::new("/proc"), read())?;
        }
        // Read where the path is known, never listed.
        secrets.map_or(Ok(()), |path| fence.allow(path, AccessFs::ReadFile.into()))?;
        Ok(fence)
    }

    /// For a step that sees the host: everything but what is hidden. Nothing hidden: only the scopes.
    pub(super) fn of_host(view: &View, secrets: Option<&Path>, is_root: bool) -> Result<Self, String> {
        if view.hidden.is_empty() {
            return Self::new(false);
        }
        let mut fence = Self::new(true)?;
        let hidden: Vec<PathBuf> = view.hidden.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
        for path in all_but(Path::new("/"), &hidden) {
            // Root without capabilities still owns the kernel's switches, which are files there.
            let is_kernel = path == Path::new("/proc") || path == Path::new("/sys");
            if path == Path::new("/proc") && !view.has_processes {
                continue;
            }
            fence.allow(&path, if is_kernel && is_root { read() } else { AccessFs::from_all(FILES) })?;
        }
        for path in &view.readable {
            fence.allow_but(path, &hidden, read())?;
        }
        for path in &view.writable {
            fence.allow_but(path, &hidden, AccessFs::from_all(FILES))?;
        }
        secrets.map_or(Ok(()), |path| fence.allow(path, AccessFs::ReadFile.into()))?;
        Ok(fence)
    }

    /// For a program within a step: nothing is kept from it but the processes outside of its domain, their memory and
    /// environment (ptrace(2)'s rules for Landlock), signals to them, and abstract sockets.
    pub(super) fn of_others_program() -> Result<Self, String> {
        // Something has to be handled for a domain to be. Moving files between directories is refused in every domain
        // that does not allow it, so it is the right thing to handle, and to allow everywhere.
        let all = AccessFs::Refer | AccessFs::MakeBlock;
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort).handle_access(all).map_err(told)?;
        let ruleset = ruleset.scope(Scope::from_all(SCOPES)).map_err(told)?;
        let mut fence = Self(ruleset.create().map_err(told)?);
        fence.allow(Path::new("/"), all)?;
        Ok(fence)
    }

    fn new(has_files: bool) -> Result<Self, String> {
        let ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
        let ruleset = if has_files { ruleset.handle_access(AccessFs::from_all(FILES)).map_err(told)? } else { ruleset };
        let ruleset = ruleset.scope(Scope::from_all(SCOPES)).map_err(told)?;
        Ok(Self(ruleset.create().map_err(told)?))
    }

    /// A path with everything below it, less what is hidden there.
    fn allow_but(&mut self, path: &Path, hidden: &[PathBuf], access: BitFlags<AccessFs>) -> Result<(), String> {
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if hidden.contains(&real) {
            return Ok(());
        }
        if hidden.iter().any(|one| one.starts_with(&real)) {
            return all_but(&real, hidden).iter().try_for_each(|path| self.allow(path, access));
        }
        self.allow(path, access)
    }

    /// What is not there needs no rule.
    fn allow(&mut self, path: &Path, access: BitFlags<AccessFs>) -> Result<(), String> {
        let Ok(opened) = PathFd::new(path) else {
            return Ok(());
        };
        (&mut self.0).add_rule(PathBeneath::new(opened, access)).map_err(told)?;
        Ok(())
    }

    /// Restricts this process and everything that it starts, for ever.
    pub(super) fn close(self) -> io::Result<()> {
        self.0.restrict_self().map_err(io::Error::other)?;
        Ok(())
    }
}

/// The version of Landlock that this kernel has, as far as we use it; 0 without any.
pub fn landlock_version() -> u32 {
    let has = |abi: ABI| {
        let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        let files = strict.handle_access(AccessFs::from_all(if abi > FILES { FILES } else { abi }));
        let scoped =
            files.and_then(|ruleset| if abi < SCOPES { Ok(ruleset) } else { ruleset.scope(Scope::from_all(abi)) });
        scoped.and_then(Ruleset::create).is_ok()
    };
    VERSIONS.into_iter().find(|(abi, _)| has(*abi)).map_or(0, |(_, number)| number)
}

/// What a kernel with this version leaves open in either sandbox, as a sentence for people: scopes came with version 6
/// (Linux 6.12), and no namespace but that of the network, which a step needs, keeps abstract Unix sockets apart.
pub fn left_open(version: u32) -> Option<&'static str> {
    (version < 6).then_some(
        "steps could connect to the host's abstract Unix sockets, because this kernel cannot keep them apart; Linux 6.12 \
         or newer with Landlock can",
    )
}

fn read() -> BitFlags<AccessFs> {
    AccessFs::from_read(FILES)
}

fn told(error: impl Into<RulesetError>) -> String {
    error.into().to_string()
}

/// Everything below `directory` that does not lead to anything hidden, as near to it as can be. Links are left out: what
/// they lead to is here by its own name, or hidden.
fn all_but(directory: &Path, hidden: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        if hidden.contains(&path) || entry.file_type().is_ok_and(|kind| kind.is_symlink()) {
            continue;
        }
        if hidden.iter().any(|one| one.starts_with(&path)) {
            found.extend(all_but(&path, hidden));
        } else {
            found.push(path);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{all_but, landlock_version, left_open};

    #[test]
    fn everything_but_the_hidden_is_named_and_no_link_leads_there() {
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        for directory in ["a/hidden/x", "a/b/c", "d"] {
            fs::create_dir_all(at(directory)).unwrap();
        }
        fs::write(at("a/file"), "").unwrap();
        std::os::unix::fs::symlink(at("a/hidden"), at("link")).unwrap();
        let mut found = all_but(place.path(), &[at("a/hidden")]);
        found.sort();
        assert_eq!(found, [at("a/b"), at("a/file"), at("d")]);
        assert!(all_but(place.path(), &[place.path().to_owned()]).contains(&at("d")));
        assert!(all_but(&at("nowhere"), &[]).is_empty());
    }

    #[test]
    fn the_version_is_one_that_there_is() {
        assert!(landlock_version() <= 6);
    }

    #[test]
    fn a_kernel_without_scopes_leaves_abstract_sockets_open() {
        let open: Vec<u32> = (0..8).filter(|version| left_open(*version).is_some()).collect();
        assert_eq!(open, [0, 1, 2, 3, 4, 5]);
    }
}
