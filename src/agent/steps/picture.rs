//! A run's directory as it was before its modules were fetched.
//!
//! Rule: what was uploaded and checked is what the later steps work with, and nothing else is there for them. Sources exist
//! that make tofu write outside of their module's directory (an S3 listing with `..` in its keys): a run in which anything
//! has changed but what tofu itself writes in the fetch step ends.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};

use super::{Fetched, Run};
use crate::agent::failure::Stop;
use crate::protocol::run::Step;
use crate::sandbox::empty_directory;

/// Everything in a run's directory, but what tofu itself writes there.
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

/// What tofu writes in a fetch step.
#[derive(Debug, Clone)]
struct OfTofu {
    /// Not looked at, nor is what is below it.
    anything: Vec<PathBuf>,
    /// Made by tofu; what is in it is looked at.
    directory: PathBuf,
}

impl OfTofu {
    fn of(run: &Run<'_>) -> Self {
        let (directory, data) = (run.directory, run.directory.data_directory());
        // The agent makes that of providers anew from what was fetched.
        let mut anything = vec![data.join("modules"), directory.providers()];
        if run.host.takes_from_oci_mirror() {
            let lock = directory.working_directory().join(".terraform.lock.hcl");
            anything.extend([data.join("providers"), lock]);
        }
        Self { anything, directory: data }
    }
}

fn empty(directory: &Path) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    empty_directory(open(directory, flags, Mode::empty())?)
}

impl Picture {
    /// Takes one of the run's directory.
    pub(crate) async fn take(run: &Run<'_>) -> Result<Self, Stop> {
        let (root, of_tofu) = (run.directory.path().to_owned(), OfTofu::of(run));
        let taken = tokio::task::spawn_blocking(move || Self::of(&root, &of_tofu)).await;
        let taken = taken.unwrap_or_else(|fault| Err(io::Error::other(fault)));
        taken.map_err(|error| Stop::io("cannot look at the run's directory", &error).during(Step::Fetch))
    }

    /// What was `fetched`, if besides nothing has changed.
    pub(crate) async fn unchanged(&self, run: &Run<'_>, fetched: Result<Fetched, Stop>) -> Result<Fetched, Stop> {
        let fetched = fetched?;
        // Later steps begin with an empty one: an `errored.tfstate` in it would be taken for tofu's.
        let temporary = run.directory.temporary();
        let emptied = tokio::task::spawn_blocking(move || empty(&temporary)).await;
        emptied
            .unwrap_or_else(|fault| Err(io::Error::other(fault)))
            .map_err(|error| Stop::io("cannot empty the run's temporary directory", &error).during(Step::Fetch))?;
        self.compare(&Self::take(run).await?, run.directory.path()).map(|()| fetched)
    }

    fn of(root: &Path, of_tofu: &OfTofu) -> io::Result<Self> {
        let (mut seen, mut left) = (BTreeMap::new(), vec![root.to_owned()]);
        while let Some(directory) = left.pop() {
            for entry in fs::read_dir(&directory)? {
                let (path, metadata) = entry.and_then(|entry| Ok((entry.path(), entry.metadata()?)))?;
                if of_tofu.anything.contains(&path) {
                    continue;
                }
                if path != of_tofu.directory || !metadata.is_dir() {
                    seen.insert(path.clone(), Seen::of(&metadata));
                }
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
        let message =
            format!("while modules were fetched, `{path}` was made, changed or removed in the run's directory");
        let hint = "a module's source has written outside of its own directory: look at what it contains";
        Err(Stop::configuration(message, Some(hint.to_owned())).during(Step::Fetch))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::path::Path;

    use super::{OfTofu, Picture};
    use crate::agent::failure::Stop;

    #[test]
    fn what_tofu_writes_is_no_change_and_everything_else_is() {
        let place = tempfile::tempdir().unwrap();
        let (root, data) = (place.path(), place.path().join("configuration/live/.terraform"));
        let write = |name: &str, text: &str| {
            fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            fs::write(root.join(name), text).unwrap();
        };
        fs::create_dir(root.join("home")).unwrap();
        write("configuration/live/main.tf", "");
        write("configuration/modules/net/main.tf", "");
        let of_tofu = OfTofu { anything: vec![data.join("modules")], directory: data.clone() };
        let taken = || Picture::of(root, &of_tofu).unwrap();
        let before = taken();
        let changed = || {
            let Err(stop) = before.compare(&taken(), root) else { return None };
            let Stop::Failed(failure) = stop else { panic!("another stop") };
            Some(failure.message)
        };
        write("configuration/live/.terraform/modules/net/main.tf", "");
        assert_eq!(changed(), None);
        let undone = |name: &str, make: &dyn Fn(&Path)| {
            make(&root.join(name));
            let message = changed().unwrap_or_else(|| panic!("{name} is not seen"));
            assert!(message.contains(&format!("`{name}")), "{message}");
            let path = root.join(name);
            if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
            assert_eq!(changed(), None, "{name}");
        };
        let file: &dyn Fn(&Path) = &|path| fs::write(path, "").unwrap();
        let directory: &dyn Fn(&Path) = &|path| fs::create_dir(path).unwrap();
        undone("configuration/live/zz_override.tf", file);
        undone("configuration/live/.terraform.lock.hcl", file);
        undone("configuration/live/.terraform/environment", file);
        undone("configuration/.terraform", directory);
        undone("configuration/modules/.git", directory);
        undone("home/.aws", directory);
        undone("files", directory);
        undone("configuration/live/link", &|path| symlink("/etc", path).unwrap());
        // The same length, another content.
        write("configuration/live/main.tf", "x");
        assert!(changed().unwrap().contains("`configuration/live/main.tf`"));
        fs::remove_file(root.join("configuration/live/main.tf")).unwrap();
        assert!(changed().unwrap().contains("`configuration/live/main.tf`"));
    }
}
