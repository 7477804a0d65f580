//! A hostile process of the same user swaps directories and links while secret directories are made, wiped and swept.
//!
//! Rule: nothing outside is written, removed or given another mode, however the race ends; and whoever says that a wipe
//! is verified tells the truth: no content is left anywhere in the secret root. 100,000 swaps each, times `NIGARI_LOOPS`.

#![expect(clippy::print_stdout, reason = "how often was swapped is for whoever runs this")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nigari::process::spawn;
use nigari::sandbox::{Files, Launcher, StepError, remove_tree, sweep};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use support::loops;

use super::agent_process::{self, Programs, User};
use super::{CANARY, Place, follow};

/// How many swaps.
const SWAPS: u32 = 100_000;

/// How often all pairs are swapped before there is a look whether to go on.
const AT_ONCE: usize = 25;

/// Says to this program, started again as another user, that it is the one that does it.
const AGAIN: &str = "NIGARI_TEST_RACER";

/// What nobody must touch: a closed directory, a directory that may not even be listed, a file.
struct Outside {
    place: PathBuf,
    before: BTreeMap<PathBuf, String>,
}

impl Outside {
    fn make(place: PathBuf) -> Self {
        for (name, mode) in [("closed", 0o500), ("shut", 0o000)] {
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

    fn must_be_untouched(&self) {
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

/// Swaps without a pause what it is shown, until it is told to end.
struct Racer {
    shown: Arc<Mutex<Option<Pairs>>>,
    swaps: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Gives pairs of paths to exchange.
type Pairs = Box<dyn FnMut() -> Vec<(PathBuf, PathBuf)> + Send>;

impl Racer {
    fn start() -> Self {
        let (shown, swaps, is_over) =
            (Arc::<Mutex<Option<Pairs>>>::default(), Arc::<AtomicU32>::default(), Arc::<AtomicBool>::default());
        let thread = std::thread::spawn({
            let (shown, swaps, is_over) = (Arc::clone(&shown), Arc::clone(&swaps), Arc::clone(&is_over));
            move || {
                while !is_over.load(Ordering::Relaxed) {
                    let mut shown = shown.lock().unwrap();
                    let Some(pairs) = shown.as_mut() else {
                        drop(shown);
                        std::thread::yield_now();
                        continue;
                    };
                    let pairs = pairs();
                    // What is looked up and what is done with it are a microsecond apart: no pause between the swaps.
                    for (one, other) in std::iter::repeat_n(&pairs, AT_ONCE).flatten() {
                        let swapped = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
                        swaps.fetch_add(u32::from(swapped.is_ok()), Ordering::Relaxed);
                    }
                }
            }
        });
        Self { shown, swaps, is_over, thread: Some(thread) }
    }

    fn show(&self, pairs: impl FnMut() -> Vec<(PathBuf, PathBuf)> + Send + 'static) {
        *self.shown.lock().unwrap() = Some(Box::new(pairs));
    }

    /// When this returns nothing is swapped any more.
    fn pause(&self) {
        *self.shown.lock().unwrap() = None;
    }

    fn swaps(&self) -> u32 {
        self.swaps.load(Ordering::Relaxed)
    }
}

impl Drop for Racer {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.pause();
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Regular files below, links not followed, that hold the canary.
fn canaries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let of = |entry: fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => canaries(&entry.path()),
        Ok(kind) if kind.is_file() => {
            let has = fs::read(entry.path()).unwrap().windows(CANARY.len()).any(|window| window == CANARY.as_bytes());
            if has { vec![entry.path()] } else { Vec::new() }
        }
        _ => Vec::new(),
    };
    entries.flat_map(of).collect()
}

/// A directory as a dead agent leaves one, with everything in it that can be swapped. Gives the pairs, whether or not the
/// directory itself is one of them.
fn plant(top: &Path, outside: &Path, is_swapped: bool) -> Vec<(PathBuf, PathBuf)> {
    let make = |path: &Path| fs::DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
    for name in ["a/b/c", "shut"] {
        make(&top.join(name));
        fs::write(top.join(name).join("secret"), CANARY).unwrap();
    }
    fs::write(top.join("secret"), CANARY).unwrap();
    fs::set_permissions(top.join("shut"), Permissions::from_mode(0o000)).unwrap();
    let mut pairs = Vec::new();
    for (name, target) in [("a", "closed"), ("a/b", "shut"), ("shut", "shut"), ("secret", "file"), ("a/b/c", "closed")]
    {
        let link = top.join(format!("{}-link", name.replace('/', "-")));
        symlink(outside.join(target), &link).unwrap();
        pairs.push((top.join(name), link));
    }
    if is_swapped {
        let link = top.with_extension("link");
        symlink(outside.join("closed"), &link).unwrap();
        pairs.push((top.to_owned(), link));
    }
    pairs
}

/// Removes and sweeps while everything in the directory, and every second time itself, is swapped with links.
fn race_wipes(place: &Place, outside: &Outside) -> (u32, u32, u32) {
    let (root, racer) = (place.secret_root(), Racer::start());
    let (mut rounds, mut unverified) = (0, 0);
    while racer.swaps() < loops::times(SWAPS) {
        rounds += 1;
        let top = root.path().join(format!("left-{rounds}"));
        let mut pairs = plant(&top, &outside.place, rounds % 2 == 0);
        // One alone is swapped so often that hardly a look at it is still true when something is done.
        if rounds % 3 == 0 {
            pairs = vec![pairs.swap_remove(usize::try_from(rounds / 3).unwrap() % pairs.len())];
        }
        racer.show(move || pairs.clone());
        let result = match rounds % 4 {
            0 | 1 => remove_tree(&top, Files::Emptied).map_err(|error| error.to_string()),
            _ => sweep(root.path()).map(drop).map_err(|error| error.to_string()),
        };
        racer.pause();
        if result.is_ok() {
            assert_eq!(canaries(root.path()), Vec::<PathBuf>::new(), "round {rounds}");
        } else {
            unverified += 1;
        }
        // With nobody in the way everything goes.
        for entry in fs::read_dir(root.path()).unwrap().flatten() {
            let _ = remove_tree(&entry.path(), Files::Emptied);
        }
        assert_eq!(place.secrets_left(), Vec::<PathBuf>::new());
    }
    outside.must_be_untouched();
    (racer.swaps(), rounds, unverified)
}

/// Starts steps with secrets while every directory that appears is swapped with a link, and what is in it too.
async fn race_launchers(place: &Place, outside: &Outside) -> (u32, u32, u32) {
    let (root, racer) = (place.secret_root(), Racer::start());
    let launcher = Launcher::with_program(&program()).unwrap();
    let (mut steps, mut failures) = (0, 0);
    while racer.swaps() < loops::times(SWAPS) {
        steps += 1;
        let (path, target) = (root.path().to_owned(), outside.place.join("closed"));
        let mut turn = 0_u32;
        racer.show(move || {
            turn = turn.wrapping_add(1);
            let mut pairs = Vec::new();
            for entry in fs::read_dir(&path).into_iter().flatten().flatten() {
                let (directory, link) = (entry.path(), path.join("link"));
                if directory == link {
                    continue;
                }
                let _ = symlink(&target, &link);
                // Not through a link of our own: what is outside would be touched by this test itself.
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let inner = directory.join("link");
                    let _ = symlink(&target, &inner);
                    pairs.push((directory.join("docker"), inner));
                }
                if turn.is_multiple_of(3) {
                    pairs.push((directory, link));
                }
            }
            pairs
        });
        let result = match launcher.start(place.shell_with_secret("exit 0")).await {
            Ok(step) => follow(step).await,
            Err(error) => Err(error),
        };
        racer.pause();
        match &result {
            Ok(ran) => assert!(ran.end.wiped.is_some()),
            Err(StepError::WipeUnverified { .. } | StepError::Refused(_)) => failures += 1,
            Err(other) => panic!("{other:?}"),
        }
        if !matches!(result, Err(StepError::WipeUnverified { .. })) {
            assert_eq!(canaries(place.memory.path()), Vec::<PathBuf>::new(), "step {steps}");
        }
        for entry in fs::read_dir(root.path()).unwrap().flatten() {
            let _ = remove_tree(&entry.path(), Files::Emptied);
        }
    }
    outside.must_be_untouched();
    (racer.swaps(), steps, failures)
}

/// The launcher's program: another copy of it where this is the test as another user.
fn program() -> PathBuf {
    std::env::var_os(AGAIN).map_or_else(|| env!("CARGO_BIN_EXE_nigari").into(), PathBuf::from)
}

/// Does `race`, then all of `test` again as another user.
fn as_both_users(test: &str, race: impl FnOnce(&Place, &Outside) -> (u32, u32, u32)) {
    let place = Place::new();
    let outside = Outside::make(place.path("outside"));
    let (swaps, rounds, unverified) = race(&place, &outside);
    let user = rustix::process::geteuid().as_raw();
    println!("{test} as {user}: {swaps} swaps, {rounds} rounds, {unverified} not verified");
    if std::env::var_os(AGAIN).is_some() || !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    let mut line = agent_process::line_as(User::Nobody, programs.test());
    line.arguments.extend([format!("sandbox::racer::{test}").into(), "--exact".into(), "--nocapture".into()]);
    line.environment = vec![(AGAIN.into(), programs.nigari().into()), ("PATH".into(), "/usr/bin:/bin".into())];
    line.environment.extend(std::env::var_os("NIGARI_LOOPS").map(|loops| ("NIGARI_LOOPS".into(), loops)));
    let mut command = line.command().unwrap();
    command.stdout(std::process::Stdio::inherit()).stderr(std::process::Stdio::inherit());
    let exit = spawn(command).unwrap().wait().unwrap();
    assert!(exit.is_success(), "as another user: {exit}");
}

#[test]
fn wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped() {
    let test = "wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped";
    as_both_users(test, race_wipes);
}

#[test]
fn launchers_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped() {
    let test = "launchers_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped";
    as_both_users(test, |place, outside| {
        tokio::runtime::Runtime::new().unwrap().block_on(race_launchers(place, outside))
    });
}
