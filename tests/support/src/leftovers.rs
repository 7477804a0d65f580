//! What an interrupted quickstart or test has left in temporary directories.
//!
//! Rule: a directory carries the id of the process that made it in its name, with the namespace in which that counts, and
//! is removed only when that process is gone and nobody asked to keep it.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::failure::{During as _, Outcome};

/// Names of all of them begin with this.
const PREFIX: &str = "nigari-support-";
/// A file of this name in it says that it is kept.
const KEPT: &str = "kept";

/// A temporary directory in `place` that the next call of [`sweep`] removes if this process cannot.
pub fn directory_in(place: &Path) -> Outcome<TempDir> {
    let prefix = format!("{PREFIX}{}-{}-", namespace(), std::process::id());
    tempfile::Builder::new().prefix(&prefix).tempdir_in(place).during(format_args!("directory in {}", place.display()))
}

/// Leaves the directory where it is, also for later sweeps.
pub fn keep(directory: TempDir) -> Outcome<PathBuf> {
    fs::write(directory.path().join(KEPT), "").during("mark of a kept directory")?;
    Ok(directory.keep())
}

/// Removes what processes that are gone have left in `places`; gives what it removed.
pub fn sweep(places: &[&Path]) -> Vec<PathBuf> {
    let entries = places.iter().filter_map(|place| fs::read_dir(place).ok()).flatten().flatten();
    let own = format!("{PREFIX}{}-", namespace());
    let is_left = |entry: &fs::DirEntry| entry.file_name().to_str().is_some_and(|name| is_left(name, &own));
    let left = entries.filter(is_left).map(|entry| entry.path());
    left.filter(|path| !path.join(KEPT).exists() && fs::remove_dir_all(path).is_ok()).collect()
}

/// The number of this process's PID namespace: what runs in a container beside this one is not seen from here.
fn namespace() -> String {
    let link = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
    link.to_string_lossy().chars().filter(char::is_ascii_digit).collect()
}

/// Whether a directory's name says that its maker is gone; those of this namespace begin with `own`.
fn is_left(name: &str, own: &str) -> bool {
    let pid = name.strip_prefix(own).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

#[cfg(test)]
mod tests {
    use super::{KEPT, PREFIX, directory_in, namespace, sweep};
    use std::fs;

    #[test]
    fn only_what_a_dead_process_left_and_nobody_keeps_is_removed() {
        let place = tempfile::tempdir().unwrap();
        let ours = namespace();
        // Greater than any process id that Linux gives.
        let dead = place.path().join(format!("{PREFIX}{ours}-4999999-a"));
        let kept = place.path().join(format!("{PREFIX}{ours}-4999999-b"));
        let elsewhere = place.path().join(format!("{PREFIX}{ours}1-4999999-c"));
        let other = place.path().join("something-4999999-d");
        for directory in [&dead, &kept, &elsewhere, &other] {
            fs::create_dir(directory).unwrap();
        }
        fs::write(kept.join(KEPT), "").unwrap();
        let own = directory_in(place.path()).unwrap();
        assert_eq!(sweep(&[place.path()]), [dead]);
        assert!(kept.exists() && elsewhere.exists() && other.exists() && own.path().exists());
    }
}
