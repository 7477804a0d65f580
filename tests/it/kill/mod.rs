//! Kill loops: SIGKILL of agent, launcher and init at every fail point and at random moments, in both sandboxes.
//!
//! After each kill no canary is on any file system that the run could write, nothing that `fetch` or `init` started
//! lives, `plan` and `apply` end by themselves and a state that they leave is rescued; then the next agent, whose secret
//! root is another, sweeps and takes the next run, and every fourth does a whole one. Agent and launcher are also killed
//! at once; steps may be so slow that they cannot have ended by themselves; the next agent may come while an apply still
//! lives. 500 kills in each sandbox, a third of them at fail points, times `NIGARI_LOOPS`. 10,000 in each:
//!
//! ```sh
//! NIGARI_FAILPOINTS_PROFILE=release NIGARI_LOOPS=20 tests/run.sh -- kill:: --nocapture
//! ```
//!
//! They need the program with the feature `failpoints`, which `tests/run.sh` builds beside the one that is tested
//! otherwise (with another cargo profile where `NIGARI_FAILPOINTS_PROFILE` names one), and say so when it is missing or
//! older than the source. A stand-in takes tofu's place, because that is where the time would go; kills with the real one
//! are in `e2e::kills` and `agent::death`.
//!
//! With each of these put into `src` a tenth of the kills was red: `fetch` and `init` go on without their agent; a step, or
//! init, without a parent-death signal; no wipe at the end, or none once the agent is gone; no sweep at the start, or
//! none of roots that were used earlier; what a dead launcher leaves is not killed, or not in other sessions; an apply is
//! killed at once, or its output not read any more; no mark of an apply; no rescue; a run's directory not locked by its
//! launcher; a sweep that takes what is locked; the credentials on a disk between answer and delivery. Not seen: a secret
//! directory that is not locked, because fetch dies with its agent before another sweeps (`sandbox::secrets` holds that).
//!
#![expect(clippy::print_stdout, reason = "what was measured is for whoever runs this")]

mod killer;
mod points;
mod processes;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use nigari::sandbox::Sandbox;
use support::loops;

use killer::{Job, Killer, Took};

/// How long anything may take that happens by itself, on a machine that does other things too.
const SOON: Duration = Duration::from_mins(2);

/// After so long nothing of fetch and init lives: all but one kill in ten, because the machine does other things too.
const PROMISED: Duration = Duration::from_secs(1);

/// Of fewer kills one in ten says nothing.
const MANY: usize = 200;

/// How many kills in each sandbox.
const KILLS: u32 = 500;

/// One in so many that are at no fail point: the next agent comes while an apply still lives.
const SUCCEEDED: usize = 10;

/// Worlds beside each other.
const WORLDS: usize = 4;

/// One sandbox at a time: the machine is as busy as it should be with one.
static ONE: Mutex<()> = Mutex::new(());

/// The program with fail points, made of the present source; says it when there is none.
fn program() -> Option<PathBuf> {
    let program = Path::new(env!("CARGO_BIN_EXE_nigari")).with_file_name("failpoints").join("nigari");
    let made = fs::metadata(&program).and_then(|found| found.modified());
    if made.is_ok_and(|made| made >= newest(&support::tools::repository().join("src"))) {
        return Some(program);
    }
    support::require::missing("the program with the feature `failpoints`, as tests/run.sh builds it");
    None
}

fn newest(directory: &Path) -> SystemTime {
    let entries = fs::read_dir(directory).unwrap().flatten();
    let times = entries.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => newest(&entry.path()),
        _ => entry.metadata().unwrap().modified().unwrap(),
    });
    times.max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Every point, dying at it and (agents alone) standing still at it until killed; random moments between them, and after
/// them as many as are wanted. Few of them are of each kind too.
fn jobs(sandbox: Sandbox) -> Vec<Job> {
    let points: Vec<String> = points::all().into_keys().filter(|point| points::is_in(point, sandbox)).collect();
    let die = points.iter().map(|point| Job::Point { point: point.clone(), stops: false });
    let agents = points.iter().filter(|point| point.starts_with("agent."));
    let stop = agents.map(|point| Job::Point { point: point.clone(), stops: true });
    let mut at_points: Vec<Job> = die.chain(stop).collect();
    at_points.sort_by_cached_key(|_| support::child::random_bytes(8));
    let moment = |count: usize| if count.is_multiple_of(SUCCEEDED) { Job::Succeeded } else { Job::Moment };
    let between = at_points.into_iter().enumerate().flat_map(|(count, job)| [job, moment(count)]);
    let wanted = usize::try_from(loops::times(KILLS)).unwrap();
    between.chain((0..).map(moment)).take(wanted).collect()
}

fn kill_in(sandbox: Sandbox) {
    let Some(program) = program() else { return };
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (jobs, next, is_over) = (jobs(sandbox), AtomicUsize::new(0), AtomicBool::new(false));
    let begun = std::time::Instant::now();
    let took: Vec<Took> = std::thread::scope(|scope| {
        let work = || {
            let _guard = Guard(&is_over);
            let mut killer = Killer::new(&program, sandbox);
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if is_over.load(Ordering::Relaxed) {
                    break;
                }
                killer.kill(job);
            }
            killer.finish()
        };
        let workers: Vec<_> = (0..WORLDS.min(jobs.len())).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    });
    let [dead, gone] = [spread(&took, |took| took.dead), spread(&took, |took| took.gone)];
    println!(
        "{}: {} kills in {:?}; until nothing was left: median {:?}, p99 {:?}, slowest {:?}; until nothing lived: median {:?}, \
         p99 {:?}, slowest {:?}",
        sandbox.name(),
        jobs.len(),
        begun.elapsed(),
        gone[0],
        gone[1],
        gone[2],
        dead[0],
        dead[1],
        dead[2]
    );
    let most = at(&took, 90, |took| took.dead);
    assert!(took.len() < MANY || most <= PROMISED, "of fetch and init something lived for {most:?} (p90)");
}

/// Median, p99 and the slowest.
fn spread(took: &[Took], of: fn(&Took) -> Duration) -> [Duration; 3] {
    [50, 99, 100].map(|part| at(took, part, of))
}

/// In what time so many of a hundred were done.
fn at(took: &[Took], part: usize, of: fn(&Took) -> Duration) -> Duration {
    let mut all: Vec<Duration> = took.iter().map(of).collect();
    all.sort_unstable();
    all[(all.len() - 1) * part / 100]
}

/// Tells the others that one has failed.
struct Guard<'a>(&'a AtomicBool);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

#[test]
fn nothing_is_left_by_kills_at_every_point_and_moment_in_the_sandbox_process() {
    kill_in(Sandbox::Process);
}

#[test]
fn nothing_is_left_by_kills_at_every_point_and_moment_in_the_sandbox_namespace() {
    if crate::sandbox::has_namespaces() {
        kill_in(Sandbox::Namespace);
    }
}
