//! Who swaps: a thread of the test, or a process of a step, in either sandbox, which is where an attacker is.
//!
//! Rule: nothing is made, written or swapped through a link: what happens outside is done by whoever is tested. What it
//! is to swap is told by a file, and told to be over by the file's absence, which it acknowledges.

use std::fs;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nigari::sandbox::{Launcher, Sandbox, Step};
use rustix::fs::{CWD, Mode, OFlags, RenameFlags, mkdirat, openat, renameat_with, symlinkat};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::sandbox::Place;

/// How often everything is swapped before there is a look whether to go on.
const AT_ONCE: usize = 25;

/// Names the directory with the orders.
const ORDERS: &str = "RACER_ORDERS";

const DIRECTORY: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Where it swaps from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seat {
    Thread,
    Step(Sandbox),
}

/// Something, and a link that takes its place.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Pair {
    pub(super) at: PathBuf,
    pub(super) link: PathBuf,
    /// Where the link leads.
    pub(super) target: PathBuf,
    /// A directory and the link are made again so many times when they were removed. Only where no directory above is
    /// ever swapped.
    pub(super) again: u32,
}

/// What is to be swapped.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Orders {
    Pairs(Vec<Pair>),
    /// Every directory that appears in `root`, with a link to `closed`; and before `names` are made in it, links of
    /// these names to `open`, and below those that are there, `name` as a link to `file`.
    Appearing {
        root: PathBuf,
        names: Vec<String>,
        name: String,
        outside: PathBuf,
    },
}

/// Swaps what it is told, until it is dropped.
pub(super) struct Swapper {
    place: TempDir,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    step: Option<(Step, Runtime)>,
}

impl Swapper {
    /// Nothing is swapped yet. `attacked` is what a step may change.
    pub(super) fn start(seat: Seat, nigari: &Path, attacked: &Path) -> Self {
        let place = tempfile::tempdir_in("/dev/shm").unwrap();
        let is_over = Arc::<AtomicBool>::default();
        let (mut thread, mut step) = (None, None);
        match seat {
            Seat::Thread => {
                let (directory, is_over) = (place.path().to_owned(), Arc::clone(&is_over));
                thread = Some(std::thread::spawn(move || follow(&directory, &is_over)));
            }
            Seat::Step(sandbox) => {
                let runtime = Runtime::new().unwrap();
                let program = std::env::current_exe().unwrap();
                let mut launch = Place::of(sandbox).shell("");
                launch.view.writable = vec![attacked.to_owned(), place.path().to_owned()];
                launch.view.readable = vec![program.clone()];
                place.path().clone_into(&mut launch.working_directory);
                launch.lock_directories = Vec::new();
                launch.environment.set(ORDERS, place.path().display().to_string()).unwrap();
                let test = "sandbox::racer::swapper::a_step_swaps_what_it_is_told";
                launch.arguments = vec![test.to_owned(), "--exact".to_owned()];
                launch.program = program;
                let started = runtime.block_on(Launcher::with_program(nigari).unwrap().start(launch)).unwrap();
                step = Some((started, runtime));
            }
        }
        let swapper = Self { place, is_over, thread, step };
        swapper.pause();
        swapper
    }

    pub(super) fn show(&self, orders: &Orders) {
        let new = self.place.path().join("new");
        fs::write(&new, serde_json::to_vec(orders).unwrap()).unwrap();
        fs::rename(new, self.place.path().join("orders")).unwrap();
    }

    /// When this returns nothing is swapped any more.
    pub(super) fn pause(&self) {
        let _ = fs::remove_file(self.place.path().join("orders"));
        let begun = Instant::now();
        while !self.place.path().join("idle").exists() {
            assert!(begun.elapsed() < Duration::from_mins(1), "nobody swaps");
            std::thread::yield_now();
        }
    }

    /// How often it has swapped, while it pauses.
    pub(super) fn swaps(&self) -> u32 {
        loop {
            // One that had begun to look at its orders as they were removed says it once more.
            if let Ok(text) = fs::read_to_string(self.place.path().join("idle")) {
                return text.parse().unwrap();
            }
            std::thread::yield_now();
        }
    }
}

impl Drop for Swapper {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
        if let Some((mut step, runtime)) = self.step.take() {
            step.kill();
            let _ = runtime.block_on(step.wait());
        }
    }
}

#[test]
fn a_step_swaps_what_it_is_told() {
    // Elsewhere this is an ordinary run of the tests, and there is nothing to swap.
    let Some(directory) = std::env::var_os(ORDERS) else { return };
    follow(Path::new(&directory), &AtomicBool::new(false));
}

fn follow(directory: &Path, is_over: &AtomicBool) {
    let (path, idle) = (directory.join("orders"), directory.join("idle"));
    let mut swaps = 0_u32;
    while !is_over.load(Ordering::Relaxed) {
        let Some(mut orders) = fs::read(&path).ok().and_then(|text| serde_json::from_slice::<Orders>(&text).ok())
        else {
            if !idle.exists() {
                fs::write(directory.join("told"), swaps.to_string()).unwrap();
                fs::rename(directory.join("told"), &idle).unwrap();
            }
            std::thread::yield_now();
            continue;
        };
        // Before the next look at the orders: whoever waits for it waits until that look has found none.
        let _ = fs::remove_file(&idle);
        // What is looked up and what is done with it are a microsecond apart: no pause between the swaps.
        while path.exists() {
            for _ in 0..AT_ONCE {
                swaps += match &mut orders {
                    Orders::Pairs(pairs) => pairs.iter_mut().map(exchange).sum(),
                    Orders::Appearing { root, names, name, outside } => meet(root, names, name, outside),
                };
            }
        }
    }
}

fn exchange(pair: &mut Pair) -> u32 {
    if renameat_with(CWD, &pair.at, CWD, &pair.link, RenameFlags::EXCHANGE).is_ok() {
        return 1;
    }
    if let Some(left) = pair.again.checked_sub(1) {
        pair.again = left;
        let _ = mkdirat(CWD, &pair.at, Mode::empty());
        let _ = symlinkat(&pair.target, CWD, &pair.link);
    }
    0
}

/// Does what [`Orders::Appearing`] says, once.
fn meet(root: &Path, names: &[String], name: &str, outside: &Path) -> u32 {
    let mut swaps = 0;
    let Ok(opened) = openat(CWD, root, DIRECTORY, Mode::empty()) else { return 0 };
    for entry in fs::read_dir(root).into_iter().flatten().flatten().filter(|entry| entry.file_name() != "link") {
        let Ok(directory) = openat(&opened, entry.file_name(), DIRECTORY, Mode::empty()) else { continue };
        swaps += plant(directory.as_fd(), names, name, outside);
        let _ = symlinkat(outside.join("closed"), &opened, "link");
        swaps += swap(&opened, &entry.file_name().to_string_lossy(), "link");
        swaps += swap(&opened, &entry.file_name().to_string_lossy(), "link");
    }
    swaps
}

fn plant(directory: BorrowedFd<'_>, names: &[String], name: &str, outside: &Path) -> u32 {
    let Ok(directory) = directory.try_clone_to_owned() else { return 0 };
    let _ = symlinkat(outside.join("open"), &directory, "link");
    let mut swaps = 0;
    // The last first: whoever makes them in their order is met on the way.
    for (count, below) in names.iter().enumerate().rev() {
        if count % 2 == 0 {
            swaps += u32::from(symlinkat(outside.join("open"), &directory, below).is_ok());
        } else {
            let _ = mkdirat(&directory, below, Mode::RWXU);
        }
        if let Ok(inner) = openat(&directory, below, DIRECTORY, Mode::empty()) {
            swaps += u32::from(symlinkat(outside.join("file"), &inner, name).is_ok());
            swaps += swap(&directory, below, "link");
        }
    }
    swaps
}

fn swap(directory: &OwnedFd, one: &str, other: &str) -> u32 {
    u32::from(renameat_with(directory, one, directory, other, RenameFlags::EXCHANGE).is_ok())
}
