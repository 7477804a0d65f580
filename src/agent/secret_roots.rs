//! The secret roots that agents of this host have used, remembered in the state directory.
//!
//! Rule: a root is remembered before the first secret is put into it, so that a sweep finds what was left there also
//! when settings or environment have changed since; and only the user who has left it can sweep it.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, open};
use rustix::process::geteuid;

use super::AgentError;
use super::private::create_anew;
use crate::sandbox::{SecretRoot, Sweep, left_behind, sweep_all};
use crate::settings::AgentSettings;
use crate::settings::environment;

/// Paths, each with a zero byte behind it.
const NAME: &str = "secret-roots";

/// Longest list that is read, in bytes: more than any number of changed settings makes.
const LONGEST: u64 = 1 << 20;

/// Where agents of this host have kept their state, and where they have put secrets.
#[derive(Debug)]
pub(crate) struct Traces {
    /// State directories from which an agent has run.
    pub(crate) state_directories: Vec<PathBuf>,
    /// Secret roots in which there may be something.
    pub(crate) roots: Vec<PathBuf>,
}

/// Adds the root that is used from now on, and forgets those that are not there any more (memory does not outlive the
/// host's start); gives every root that there may be something in.
pub(super) fn remember(settings: &AgentSettings, root: &Path) -> Result<Vec<PathBuf>, AgentError> {
    let mut roots = all(std::slice::from_ref(&settings.state_directory), settings)?.roots;
    if !roots.iter().any(|known| known == root) {
        roots.push(root.to_owned());
    }
    let text: Vec<u8> = roots.iter().flat_map(|root| root.as_os_str().as_bytes().iter().copied().chain([0])).collect();
    let path = settings.state_directory.join(NAME);
    let write = || -> io::Result<()> {
        let new = path.with_extension("new");
        let mut file = create_anew(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().map_err(|source| AgentError::Directory { what: "state_dir", path: path.clone(), source })?;
    failpoint!("agent.roots.remembered");
    Ok(roots)
}

/// Wipes what dead agents' runs have left of secrets on this host. For a person: a root of which nobody knows whether it
/// is another agent's is an error if there is none of this user. Gives where it looked whatever came of it. Blocks.
pub(crate) fn sweep_by_hand(settings: &AgentSettings) -> Result<(Traces, Result<Sweep, AgentError>), AgentError> {
    let traces = all(&state_directories(settings), settings)?;
    // Of a state directory from which an agent ran, the places are known, also that they are gone.
    let knows_nothing = traces.roots.is_empty() && traces.state_directories.is_empty();
    if let (true, Some((path, owner))) = (knows_nothing, SecretRoot::of_others(&settings.secret_roots).pop()) {
        return Err(AgentError::OtherUser { path, owner, state_directory: None });
    }
    let swept = sweep_all(&traces.roots).map_err(AgentError::from);
    Ok((traces, swept))
}

/// What such a sweep would find. Changes nothing.
pub(crate) fn left_by_agents(settings: &AgentSettings) -> Result<Vec<PathBuf>, AgentError> {
    Ok(left_behind(&all(&state_directories(settings), settings)?.roots))
}

/// The one of the settings and, since `nigari up` keeps its agent's below its own, the one in there; with nothing set,
/// also where `nigari up` keeps it then.
fn state_directories(settings: &AgentSettings) -> Vec<PathBuf> {
    let own = &settings.state_directory;
    let mut all = vec![own.clone(), own.join("agent")];
    if *own == environment::state_home().join("agent") {
        all.push(environment::state_home().join("up/agent"));
    }
    all
}

/// Those that are remembered, and those of this user in the places that would be tried now.
fn all(state_directories: &[PathBuf], settings: &AgentSettings) -> Result<Traces, AgentError> {
    let mut traces = Traces { state_directories: Vec::new(), roots: Vec::new() };
    let is_there = |root: &PathBuf| {
        fs::symlink_metadata(root).map_or_else(|error| error.kind() != io::ErrorKind::NotFound, |_| true)
    };
    let add = |roots: &mut Vec<PathBuf>, found: Vec<PathBuf>| {
        for root in found.into_iter().filter(is_there) {
            if !roots.contains(&root) {
                roots.push(root);
            }
        }
    };
    for directory in state_directories {
        if let Some(known) = remembered(&directory.join(NAME))? {
            traces.state_directories.push(directory.clone());
            add(&mut traces.roots, known);
        }
    }
    add(&mut traces.roots, SecretRoot::existing(&settings.secret_roots));
    Ok(traces)
}

/// `None` where no agent has ever run.
fn remembered(path: &Path) -> Result<Option<Vec<PathBuf>>, AgentError> {
    let failed = |source| AgentError::Directory { what: "state_dir", path: path.to_owned(), source };
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open(path, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(closed_to_us(path).unwrap_or_else(|| failed(errno.into()))),
    };
    let owner = file.metadata().map_err(failed)?.uid();
    if owner != geteuid().as_raw() {
        let state_directory = path.parent().map(Path::to_owned);
        return Err(AgentError::OtherUser { path: path.to_owned(), owner, state_directory });
    }
    let mut text = Vec::new();
    file.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
    let named = text.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(Some(named.map(|name| PathBuf::from(OsStr::from_bytes(name))).collect()))
}

/// Whose it is, or the directory that it is in, if that is why it cannot be read.
fn closed_to_us(path: &Path) -> Option<AgentError> {
    let of = |path: &Path| Some((path.to_owned(), fs::symlink_metadata(path).ok()?.uid()));
    let state_directory = path.parent().map(Path::to_owned);
    let (path, owner) = of(path).or_else(|| of(path.parent()?))?;
    let is_other = owner != geteuid().as_raw();
    is_other.then(|| AgentError::OtherUser { path, owner, state_directory })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
    use std::path::{Path, PathBuf};

    use super::{NAME, left_by_agents, remember, sweep_by_hand};
    use crate::agent::AgentError;
    use crate::sandbox::SecretRoot;
    use crate::settings::AgentSettings;
    use crate::settings::agent_layer::AgentLayer;

    fn settings(state: &Path, roots: &[&Path]) -> AgentSettings {
        let server = Some("http://127.0.0.1:7077".to_owned());
        let layer = AgentLayer { server, state_dir: Some(state.to_owned()), ..AgentLayer::default() };
        let mut settings = AgentSettings::load(None, layer).unwrap();
        settings.secret_roots = roots.iter().map(|root| PathBuf::from(*root)).collect();
        settings
    }

    /// A secret directory that nobody holds.
    fn leave(root: &SecretRoot) -> PathBuf {
        let left = root.path().join("left");
        fs::DirBuilder::new().mode(0o700).create(&left).unwrap();
        fs::write(left.join("secret"), "x").unwrap();
        left
    }

    #[test]
    fn a_sweep_finds_every_place_that_was_ever_used_and_every_place_that_would_be() {
        let state = tempfile::tempdir().unwrap();
        let [earlier, first, second] = [(); 3].map(|()| tempfile::tempdir_in("/dev/shm").unwrap());
        let chosen = |place: &tempfile::TempDir| SecretRoot::choose(&[place.path().to_owned()], false).unwrap();
        let roots = [chosen(&earlier), chosen(&first), chosen(&second)];
        let with_earlier = settings(state.path(), &[earlier.path()]);
        remember(&with_earlier, roots[0].path()).unwrap();
        let left: Vec<PathBuf> = roots.iter().map(leave).collect();
        // As if `XDG_RUNTIME_DIR` had named the earlier one, and were not set any more.
        let now = settings(state.path(), &[first.path(), second.path()]);
        assert_eq!(left_by_agents(&now).unwrap(), left);
        let (seen, swept) = sweep_by_hand(&now).unwrap();
        assert_eq!(seen.state_directories, [state.path()]);
        assert_eq!(seen.roots, roots.iter().map(|root| root.path().to_owned()).collect::<Vec<_>>());
        assert_eq!(swept.unwrap().swept, left);
        assert!(left.iter().all(|left| !left.exists()));
        assert_eq!(left_by_agents(&now).unwrap(), Vec::<PathBuf>::new());
        // What is gone is forgotten, and nothing is made by a sweep.
        drop(earlier);
        assert_eq!(remember(&now, roots[1].path()).unwrap(), [roots[1].path(), roots[2].path()]);
        let nothing = settings(&state.path().join("none"), &[state.path()]);
        let (seen, _) = sweep_by_hand(&nothing).unwrap();
        assert_eq!((seen.state_directories, seen.roots), (Vec::new(), Vec::new()));
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_held_is_not_left_behind_and_an_agent_below_the_state_directory_is_found() {
        let (up, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let root = SecretRoot::choose(&[place.path().to_owned()], false).unwrap();
        let agent = up.path().join("agent");
        fs::create_dir(&agent).unwrap();
        remember(&settings(&agent, &[]), root.path()).unwrap();
        let now = settings(up.path(), &[]);
        let held = fs::File::open(leave(&root)).unwrap();
        rustix::fs::flock(&held, rustix::fs::FlockOperation::LockShared).unwrap();
        assert_eq!(left_by_agents(&now).unwrap(), Vec::<PathBuf>::new());
        drop(held);
        assert_eq!(left_by_agents(&now).unwrap(), [root.path().join("left")]);
        let (seen, swept) = sweep_by_hand(&now).unwrap();
        assert_eq!(seen.state_directories, [agent]);
        assert_eq!(swept.unwrap().swept, [root.path().join("left")]);
    }

    #[test]
    fn what_another_user_has_left_is_refused_with_a_hint() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: needs root, to be two users");
            return;
        }
        let (state, place) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").unwrap());
        let settings = settings(state.path(), &[place.path()]);
        let refused = |owner: u32| match sweep_by_hand(&settings) {
            Err(error @ AgentError::OtherUser { .. }) => error.hint().unwrap().contains(&format!("--reuid {owner} ")),
            other => panic!("{other:?}"),
        };
        // A secret root whose name and owner say whose it is.
        let theirs = place.path().join("nigari-65534");
        fs::create_dir(&theirs).unwrap();
        chown(&theirs, Some(65534), None).unwrap();
        assert!(refused(65534));
        // What the agent itself has written.
        let root = SecretRoot::choose(&[place.path().to_owned()], false).unwrap();
        remember(&settings, root.path()).unwrap();
        sweep_by_hand(&settings).unwrap().1.unwrap();
        chown(state.path().join(NAME), Some(65533), None).unwrap();
        assert!(refused(65533));
        // Somebody was quicker to make a directory of our name; nothing of ours was ever in it.
        fs::remove_file(state.path().join(NAME)).unwrap();
        remember(&settings, root.path()).unwrap();
        chown(root.path(), Some(65534), None).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(sweep_by_hand(&settings).unwrap().1.unwrap(), crate::sandbox::Sweep::default());
    }
}
