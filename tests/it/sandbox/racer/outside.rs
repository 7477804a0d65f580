//! What nobody must touch, and what a change of it would change.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// A closed directory, a directory that may not even be listed, one in which everything could be done, a file.
pub(super) struct Outside {
    pub(super) place: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Outside {
    pub(super) fn make(place: PathBuf) -> Self {
        for (name, mode) in [("closed", 0o500), ("shut", 0o000), ("open", 0o700)] {
            let directory = place.join(name);
            fs::create_dir_all(directory.join("below")).unwrap();
            fs::write(directory.join("file"), "kept").unwrap();
            fs::set_permissions(directory.join("file"), Permissions::from_mode(0o400)).unwrap();
            fs::set_permissions(&directory, Permissions::from_mode(mode)).unwrap();
        }
        fs::write(place.join("file"), "kept").unwrap();
        let before = picture(&place);
        Self { place, before }
    }

    pub(super) fn must_be_untouched(&self) {
        assert_eq!(picture(&self.place), self.before);
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        for name in ["closed", "shut"] {
            let _ = fs::set_permissions(self.place.join(name), Permissions::from_mode(0o700));
        }
    }
}

/// Everything below, with what a change would change.
fn picture(directory: &Path) -> BTreeMap<PathBuf, String> {
    let mut seen = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, of) = (entry.path(), entry.metadata().unwrap());
        let content = fs::read_to_string(&path).unwrap_or_default();
        let text = format!("{:o} {} {} {} {content}", of.mode(), of.ino(), of.ctime(), of.ctime_nsec());
        if of.is_dir() {
            seen.extend(picture(&path));
        }
        seen.insert(path, text);
    }
    seen
}
