//! Providers that came from an OCI mirror: kept with the run, so that no later step needs a registry, here or on another
//! host.
//!
//! Rule: only what the fetch step has really written below its run directory is taken: real directories, at the places
//! that tofu gives them; no link is followed, because a program that git started there may have made it. Whether they are
//! what the lock file says is tofu's to check, before it uses one.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, symlink};
use std::path::Path;

use super::directory::RunDirectory;
use crate::sandbox::{Files, remove_tree};

/// tofu's directory for them, in its data directory.
const INSTALLED: &str = "providers";

/// Moves the providers of which `is_mirrored` (host name, namespace, type) into the run's own mirror, with a link where
/// they were. Gives address and version of each.
pub(crate) fn keep(directory: &RunDirectory, is_mirrored: impl Fn([&str; 3]) -> bool) -> io::Result<Vec<String>> {
    let mirror = directory.providers();
    remove_tree(&mirror, Files::Unlinked)?;
    DirBuilder::new().mode(0o700).create(&mirror)?;
    let installed = directory.data_directory().join(INSTALLED);
    if !is_real(directory.path(), &installed)? {
        return Ok(Vec::new());
    }
    move_all(&installed, &mirror, is_mirrored)
}

/// Whether `path` is a directory that really is where it seems to be below `run`.
pub(crate) fn is_real(run: &Path, path: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
        Ok(metadata) if !metadata.is_dir() => return Err(io::Error::other("a link is where a directory should be")),
        Ok(_) => {}
    }
    let below = path.strip_prefix(run).map_err(io::Error::other)?;
    if path.canonicalize()? == run.canonicalize()?.join(below) {
        return Ok(true);
    }
    Err(io::Error::other("a link leads out of the run's directory"))
}

/// The layout is `host/namespace/type/version/platform`.
fn move_all(installed: &Path, mirror: &Path, is_mirrored: impl Fn([&str; 3]) -> bool) -> io::Result<Vec<String>> {
    let mut moved = Vec::new();
    for host in directories(installed)? {
        for namespace in directories(&installed.join(&host))? {
            let owner = Path::new(&host).join(&namespace);
            for kind in directories(&installed.join(&owner))? {
                if is_mirrored([&host, &namespace, &kind]) {
                    let provider = owner.join(&kind);
                    let versions = move_versions(&installed.join(&provider), &mirror.join(&provider))?;
                    moved.extend(versions.into_iter().map(|version| format!("{} {version}", provider.display())));
                }
            }
        }
    }
    Ok(moved)
}

fn move_versions(from: &Path, to: &Path) -> io::Result<Vec<String>> {
    let mut moved = Vec::new();
    for version in directories(from)? {
        for platform in directories(&from.join(&version))? {
            let place = Path::new(&version).join(&platform);
            let (from, to) = (from.join(&place), to.join(&place));
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            fs::rename(&from, &to)?;
            // As tofu itself does it with a mirror of files: it finds the provider installed and looks no further.
            symlink(&to, &from)?;
            moved.push(version.clone());
        }
    }
    Ok(moved)
}

/// Names of the real directories in a directory, in order.
fn directories(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    names.sort_unstable();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{is_real, move_all};

    const TIME: &str = "registry.opentofu.org/hashicorp/time/0.14.2/linux_amd64";

    fn write(path: &Path) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }

    #[test]
    fn what_a_mirror_serves_is_moved_and_found_where_it_was() {
        let run = tempfile::tempdir().unwrap();
        let (installed, mirror) = (run.path().join("installed"), run.path().join("mirror"));
        write(&installed.join(TIME).join("provider"));
        write(&installed.join("registry.opentofu.org/hashicorp/other/1.0.0/linux_amd64/provider"));
        let moved = move_all(&installed, &mirror, |[_, _, kind]| kind == "time").unwrap();
        assert_eq!(moved, ["registry.opentofu.org/hashicorp/time 0.14.2"]);
        assert_eq!(fs::read_link(installed.join(TIME)).unwrap(), mirror.join(TIME));
        assert!(installed.join(TIME).join("provider").exists());
        assert!(!mirror.join("registry.opentofu.org/hashicorp/other").exists());
    }

    #[test]
    fn links_at_any_place_are_left_alone() {
        let run = tempfile::tempdir().unwrap();
        let host = run.path().join("host");
        write(&host.join(TIME).join("secret"));
        let parts: Vec<&str> = TIME.split('/').collect();
        for depth in 1..=parts.len() {
            let (installed, mirror) = (run.path().join(format!("i{depth}")), run.path().join(format!("m{depth}")));
            let below = parts[..depth].join("/");
            fs::create_dir_all(installed.join(&below).parent().unwrap()).unwrap();
            symlink(host.join(&below), installed.join(&below)).unwrap();
            assert_eq!(move_all(&installed, &mirror, |_| true).unwrap(), Vec::<String>::new(), "{below}");
            assert!(!mirror.exists() && host.join(TIME).join("secret").exists(), "{below}");
        }
    }

    #[test]
    fn a_directory_that_is_elsewhere_is_not_real() {
        let (run, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        write(&host.path().join("modules/secret"));
        assert!(!is_real(run.path(), &run.path().join("none")).unwrap());
        symlink(host.path(), run.path().join(".terraform")).unwrap();
        for path in [".terraform", ".terraform/modules"] {
            assert!(is_real(run.path(), &run.path().join(path)).is_err(), "{path}");
        }
        fs::create_dir(run.path().join("real")).unwrap();
        assert!(is_real(run.path(), &run.path().join("real")).unwrap());
        // The run's own directory may be reached by a link.
        let other = host.path().join("runs");
        symlink(run.path(), &other).unwrap();
        assert!(is_real(&other, &other.join("real")).unwrap());
    }
}
