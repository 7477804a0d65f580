//! A hostile process of the same user swaps directories and links while secret directories are made, wiped and swept.
//!
//! Rule: nothing outside is written, removed or given another mode, however the race ends; and whoever says that a wipe
//! is verified tells the truth: no content is left anywhere in the secret root. 100,000 swaps each, times
//! `NIGARI_LOOPS`, by a thread and by a step in each sandbox, which may change the place that is attacked.

#![expect(clippy::print_stdout, reason = "how often was swapped is for whoever runs this")]

mod outside;
mod swapper;

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use nigari::process::spawn;
use nigari::sandbox::{Files, Launch, Launcher, Sandbox, SecretFile, StepError, remove_tree, sweep};
use nigari::secret::Secret;
use support::loops;
use tokio::runtime::Runtime;

use self::outside::Outside;
use self::swapper::{Orders, Pair, Seat, Swapper};
use super::agent_process::{self, Programs, User};
use super::{CANARY, Place, follow};

/// How many swaps.
const SWAPS: u32 = 100_000;

/// How many secret files a step gets: time to be met on the way.
const FILES: u32 = 40;

/// How often what was removed comes back in a race for one name.
const AGAIN: u32 = 200;

/// Says to this program, started again as another user, that it is the one that does it.
const ANEW: &str = "NIGARI_TEST_RACER";

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
fn plant(top: &Path, outside: &Path, is_swapped: bool) -> Vec<Pair> {
    let make = |path: &Path| fs::DirBuilder::new().mode(0o700).recursive(true).create(path).unwrap();
    for name in ["a/b/c", "shut"] {
        make(&top.join(name));
        fs::write(top.join(name).join("secret"), CANARY).unwrap();
    }
    fs::write(top.join("secret"), CANARY).unwrap();
    fs::set_permissions(top.join("shut"), Permissions::from_mode(0o000)).unwrap();
    let mut pairs = Vec::new();
    for (name, target) in [("a", "closed"), ("a/b", "shut"), ("shut", "shut"), ("secret", "file"), ("a/b/c", "open")] {
        let link = top.join(format!("{}-link", name.replace('/', "-")));
        pairs.push(pair(top.join(name), link, outside.join(target)));
    }
    if is_swapped {
        pairs.push(pair(top.to_owned(), top.with_extension("link"), outside.join("closed")));
    }
    pairs
}

fn pair(at: PathBuf, link: PathBuf, target: PathBuf) -> Pair {
    symlink(&target, &link).unwrap();
    Pair { at, link, target, again: 0 }
}

/// A directory with one in it that nobody may enter: of all looks at it hardly one is still true when something is done,
/// and it comes back, so that there are many.
fn plant_one(top: &Path, outside: &Path, target: &str) -> Vec<Pair> {
    let at = top.join("one");
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&at).unwrap();
    fs::write(at.join("secret"), CANARY).unwrap();
    fs::set_permissions(&at, Permissions::from_mode(0o000)).unwrap();
    vec![Pair { again: AGAIN, ..pair(at, top.join("one-link"), outside.join(target)) }]
}

/// Removes and sweeps while what is in the directory, and sometimes itself, is swapped with links.
fn race_wipes(place: &Place, outside: &Outside, seat: Seat) -> (u32, u32, u32) {
    let (root, racer) = (place.secret_root(), Swapper::start(seat, &program(), place.memory.path()));
    let (mut rounds, mut unverified) = (0, 0);
    while racer.swaps() < loops::times(SWAPS) {
        rounds += 1;
        let top = root.path().join(format!("left-{rounds}"));
        // Most often what is caught in the shortest moment: a mode that is changed by name.
        let pairs = match rounds % 12 {
            0 => plant(&top, &outside.place, false),
            1 => plant(&top, &outside.place, true),
            2 => plant_one(&top, &outside.place, "open"),
            _ => plant_one(&top, &outside.place, "shut"),
        };
        racer.show(&Orders::Pairs(pairs));
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
        outside.must_be_untouched();
    }
    (racer.swaps(), rounds, unverified)
}

/// A step with so many secret files that somebody can be ahead of who makes them.
fn with_secrets(place: &Place, names: &[String]) -> Launch {
    let mut launch = place.shell("exit 0");
    let file = |name: &String| SecretFile { path: Path::new(name).join("config.json"), content: Secret::from(CANARY) };
    launch.secret_directory = Some(place.secret_root().directory(names.iter().map(file).collect()));
    launch
}

/// Starts steps with secrets while every directory that appears is swapped with a link, and links are put where theirs
/// will be.
fn race_launchers(place: &Place, outside: &Outside, seat: Seat) -> (u32, u32, u32) {
    let (root, racer) = (place.secret_root(), Swapper::start(seat, &program(), place.memory.path()));
    let (launcher, runtime) = (Launcher::with_program(&program()).unwrap(), Runtime::new().unwrap());
    let names: Vec<String> = (0..FILES).map(|number| format!("d{number}")).collect();
    let (mut steps, mut failures) = (0, 0);
    while racer.swaps() < loops::times(SWAPS) {
        steps += 1;
        let (root, place_outside) = (root.path().to_owned(), outside.place.clone());
        let (names_too, name) = (names.clone(), "config.json".to_owned());
        racer.show(&Orders::Appearing { root, names: names_too, name, outside: place_outside });
        let result = runtime.block_on(async { follow(launcher.start(with_secrets(place, &names)).await?).await });
        racer.pause();
        match &result {
            Ok(ran) => assert!(ran.end.wiped.is_some()),
            Err(StepError::WipeUnverified { .. } | StepError::Refused(_)) => failures += 1,
            Err(other) => panic!("{other:?}"),
        }
        if !matches!(result, Err(StepError::WipeUnverified { .. })) {
            assert_eq!(canaries(place.memory.path()), Vec::<PathBuf>::new(), "step {steps}");
        }
        for entry in fs::read_dir(place.secret_root().path()).unwrap().flatten() {
            let _ = remove_tree(&entry.path(), Files::Emptied);
        }
        outside.must_be_untouched();
    }
    (racer.swaps(), steps, failures)
}

/// The launcher's program: another copy of it where this is the test as another user.
fn program() -> PathBuf {
    std::env::var_os(ANEW).map_or_else(|| env!("CARGO_BIN_EXE_nigari").into(), PathBuf::from)
}

/// What was swapped, how often was raced, and how often no wipe was verified.
type Race = fn(&Place, &Outside, Seat) -> (u32, u32, u32);

/// Does `race`, then all of `test` again as another user.
fn as_both_users(test: &str, seats: &[Seat], race: Race) {
    let user = rustix::process::geteuid().as_raw();
    for seat in seats {
        let place = Place::new();
        let outside = Outside::make(place.path("outside"));
        let (swaps, rounds, unverified) = race(&place, &outside, *seat);
        println!("{test} from {seat:?} as {user}: {swaps} swaps, {rounds} rounds, {unverified} not verified");
    }
    if std::env::var_os(ANEW).is_some() || !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    let mut line = agent_process::line_as(User::Nobody, programs.test());
    line.arguments.extend([format!("sandbox::racer::{test}").into(), "--exact".into(), "--nocapture".into()]);
    line.environment = vec![(ANEW.into(), programs.nigari().into()), ("PATH".into(), "/usr/bin:/bin".into())];
    line.environment.extend(std::env::var_os("NIGARI_LOOPS").map(|loops| ("NIGARI_LOOPS".into(), loops)));
    let mut command = line.command().unwrap();
    command.stdout(std::process::Stdio::inherit()).stderr(std::process::Stdio::inherit());
    let exit = spawn(command).unwrap().wait().unwrap();
    assert!(exit.is_success(), "as another user: {exit}");
}

/// Where a step can be, for whoever this test is.
fn seats() -> Vec<Seat> {
    let place = Place::of(Sandbox::Namespace);
    let launcher = Launcher::with_program(&program()).unwrap();
    let probed = Runtime::new().unwrap().block_on(async { follow(launcher.start(place.shell("exit 0")).await?).await });
    let mut seats = vec![Seat::Step(Sandbox::Process)];
    match probed {
        Ok(_) => seats.push(Seat::Step(Sandbox::Namespace)),
        Err(error) => support::require::missing(&format!("namespaces ({error})")),
    }
    seats
}

#[test]
fn wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped() {
    let test = "wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped";
    as_both_users(test, &[Seat::Thread], race_wipes);
}

#[test]
fn wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_a_step_swaps() {
    let test = "wipes_and_sweeps_touch_nothing_outside_and_tell_the_truth_while_a_step_swaps";
    as_both_users(test, &seats(), race_wipes);
}

#[test]
fn launchers_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped() {
    let test = "launchers_touch_nothing_outside_and_tell_the_truth_while_directories_and_links_are_swapped";
    as_both_users(test, &[Seat::Thread], race_launchers);
}

#[test]
fn launchers_touch_nothing_outside_and_tell_the_truth_while_a_step_swaps() {
    let test = "launchers_touch_nothing_outside_and_tell_the_truth_while_a_step_swaps";
    as_both_users(test, &seats(), race_launchers);
}
