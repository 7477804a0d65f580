//! The configuration as it was before its modules were fetched.
//!
//! Rule: what was uploaded and checked is what the later steps work with. Sources exist that make tofu write outside of
//! their module's directory (an S3 listing with `..` in its keys): a run in which something else has changed ends.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::{Fetched, Run};
use crate::agent::failure::Stop;
use crate::protocol::run::Step;

/// What tofu itself writes into its working directory.
const OF_TOFU: [&str; 2] = [".terraform", ".terraform.lock.hcl"];

/// Everything in a configuration, but what tofu itself writes there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Picture(BTreeMap<PathBuf, Seen>);

/// One file or directory.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    inode: u64,
    mode: u32,
    /// When content, mode or links last changed (`st_ctime`, which nobody can set), in seconds and nanoseconds; of a
    /// directory nothing, because what is in it is looked at by itself.
    changed: Option<(i64, i64)>,
}

impl Seen {
    fn of(metadata: &Metadata) -> Self {
        let changed = (!metadata.is_dir()).then(|| (metadata.ctime(), metadata.ctime_nsec()));
        Self { inode: metadata.ino(), mode: metadata.mode(), changed }
    }
}

impl Picture {
    /// Takes one of the run's configuration.
    pub(crate) async fn take(run: &Run<'_>) -> Result<Self, Stop> {
        let (root, working) = (run.directory.configuration(), run.directory.working_directory().to_owned());
        let taken = tokio::task::spawn_blocking(move || Self::of(&root, &working)).await;
        let taken = taken.unwrap_or_else(|fault| Err(io::Error::other(fault)));
        taken.map_err(|error| Stop::io("cannot look at the configuration", &error).during(Step::Fetch))
    }

    /// What was `fetched`, if besides nothing has changed.
    pub(crate) async fn unchanged(&self, run: &Run<'_>, fetched: Result<Fetched, Stop>) -> Result<Fetched, Stop> {
        let fetched = fetched?;
        self.compare(&Self::take(run).await?, &run.directory.configuration()).map(|()| fetched)
    }

    /// Of everything below `root`; tofu works in `working`.
    fn of(root: &Path, working: &Path) -> io::Result<Self> {
        let (mut seen, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory)? {
                let entry = entry?;
                let (path, metadata) = (entry.path(), entry.metadata()?);
                if directory == working && OF_TOFU.iter().any(|name| entry.file_name() == *name) {
                    continue;
                }
                seen.insert(path.clone(), Seen::of(&metadata));
                if metadata.is_dir() {
                    left.push(path);
                }
            }
        }
        Ok(Self(seen))
    }

    /// An error that names what is not as it was.
    fn compare(&self, later: &Self, root: &Path) -> Result<(), Stop> {
        let (here, there) = (&self.0, &later.0);
        let other = |path: &&PathBuf| here.get(*path) != there.get(*path);
        let Some(path) = here.keys().chain(there.keys()).find(other) else { return Ok(()) };
        let path = path.strip_prefix(root).unwrap_or(path).display();
        let message = format!("while modules were fetched, `{path}` of the configuration was made, changed or removed");
        let hint = "a module's source has written outside of its own directory: look at what it contains";
        Err(Stop::configuration(message, Some(hint.to_owned())).during(Step::Fetch))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::Picture;
    use crate::agent::failure::Stop;

    #[test]
    fn what_tofu_writes_is_no_change_and_everything_else_is() {
        let place = tempfile::tempdir().unwrap();
        let (root, working) = (place.path(), place.path().join("live"));
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        write("live/main.tf", "");
        write("modules/net/main.tf", "");
        let taken = || Picture::of(root, &working).unwrap();
        let before = taken();
        let changed = || {
            let Err(stop) = before.compare(&taken(), root) else { return None };
            let Stop::Failed(failure) = stop else { panic!("another stop") };
            Some(failure.message)
        };
        write("live/.terraform/modules/net/main.tf", "");
        write("live/.terraform.lock.hcl", "");
        assert_eq!(changed(), None);
        let undone = |name: &str, make: &dyn Fn(&Path)| {
            make(&root.join(name));
            let message = changed().unwrap_or_else(|| panic!("{name} is not seen"));
            assert!(message.contains(&format!("`{name}")), "{message}");
            let path = root.join(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            assert_eq!(changed(), None, "{name}");
        };
        undone("live/zz_override.tf", &|path| fs::write(path, "").unwrap());
        undone(".terraform", &|path| fs::create_dir(path).unwrap());
        undone("modules/.git", &|path| fs::create_dir(path).unwrap());
        undone("live/link", &|path| symlink("/etc", path).unwrap());
        // The same length, another content.
        write("live/main.tf", "x");
        assert!(changed().unwrap().contains("`live/main.tf`"));
        fs::remove_file(root.join("live/main.tf")).unwrap();
        assert!(changed().unwrap().contains("`live/main.tf`"));
    }
}
