//! A control group of a container's own, in every hierarchy that systemd uses.
//!
//! Rule: whatever becomes of the test or of nspawn, everything in it can be killed at once. nspawn alone is no such
//! hold: killed, it leaves the container running.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::child::read_text;
use crate::failure::{During as _, Failure, Outcome};

/// Names of all of them begin with this; the maker's process id follows.
const PREFIX: &str = "nigari-test-";
/// How long killed processes may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The group. Dropping it kills what is in it.
#[derive(Debug)]
pub(super) struct Group {
    name: String,
    directories: Vec<PathBuf>,
}

impl Group {
    /// A new one; those of makers that are gone are removed first.
    pub(super) fn make(name: &str) -> Outcome<Self> {
        let tops = hierarchies(&read_text(Path::new("/proc/self/mountinfo")));
        if tops.is_empty() {
            return Err(Failure::new("there are no control groups"));
        }
        sweep(&tops);
        let name = format!("{PREFIX}{}-{name}", std::process::id());
        let group = Self { directories: tops.iter().map(|top| top.join(&name)).collect(), name };
        for directory in &group.directories {
            fs::create_dir(directory).during(directory.display())?;
        }
        Ok(group)
    }

    /// Its name, unique on this host; a good one for a machine too.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Where a process writes its id to be in it.
    pub(super) fn doors(&self) -> Vec<PathBuf> {
        self.directories.iter().map(|directory| directory.join("cgroup.procs")).collect()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.directories.iter().for_each(|directory| remove(directory));
    }
}

/// The mount points of cgroup v2 and of systemd's own v1 hierarchy, where there is one.
fn hierarchies(mounts: &str) -> Vec<PathBuf> {
    let of_systemd = |line: &&str| {
        let (_, kind) = line.split_once(" - ").unwrap_or_default();
        kind.starts_with("cgroup2 ") || kind.starts_with("cgroup ") && kind.contains("name=systemd")
    };
    mounts.lines().filter(of_systemd).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// Kills what is in it (cgroup v2 can) and removes it with all below.
fn remove(directory: &Path) {
    let _ = fs::write(directory.join("cgroup.kill"), "1");
    let begun = Instant::now();
    while directory.exists() && begun.elapsed() < PATIENCE {
        remove_empty(directory);
        thread::sleep(Duration::from_millis(5));
    }
}

/// Only directories can be removed there, the innermost first.
fn remove_empty(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(directory);
}

/// Removes those whose maker is gone.
fn sweep(tops: &[PathBuf]) {
    let entries = tops.iter().filter_map(|top| fs::read_dir(top).ok()).flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_str().is_some_and(is_left)) {
        remove(&entry.path());
    }
}

fn is_left(name: &str) -> bool {
    let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
    pid.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

#[cfg(test)]
mod tests {
    use super::{PREFIX, hierarchies, is_left};
    use std::path::PathBuf;

    #[test]
    fn both_layouts_of_control_groups_are_understood() {
        let hybrid = "30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
                      31 23 0:27 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n\
                      32 23 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let found = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"].map(PathBuf::from);
        assert_eq!(hierarchies(hybrid), found);
        let unified = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(hierarchies(unified), [PathBuf::from("/sys/fs/cgroup")]);
        assert!(hierarchies("22 1 0:20 / / rw - ext4 /dev/a rw\n").is_empty());
    }

    #[test]
    fn only_groups_of_dead_makers_are_left_ones() {
        assert!(is_left(&format!("{PREFIX}4999999-0")));
        assert!(!is_left(&format!("{PREFIX}{}-0", std::process::id())));
        assert!(!is_left("system.slice"));
    }
}
