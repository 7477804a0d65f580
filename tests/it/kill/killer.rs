//! One kill after the other in one world, and what must be so after each.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nigari::protocol::id::RunId;
use nigari::protocol::run::{RunState, Step};
use nigari::sandbox::Sandbox;
use support::child::Child;

use super::points;
use super::processes::{self, Role};
use super::world::{LOOK, NONE, QUICK, Trap, World};

/// Longest time until nothing is left of `fetch` and `init`. The promise is a second, on a machine that does nothing else.
const LEFT: Duration = Duration::from_secs(10);

/// One kill.
#[derive(Debug)]
pub(super) enum Job {
    /// At a fail point: by itself, or after it has stood still there.
    Point { point: String, stops: bool },
    /// Whenever it comes.
    Moment,
}

/// A run whose apply was reported when its agent died.
struct Orphan {
    workspace: String,
    run: RunId,
    /// Whether it left a state.
    has_state: bool,
}

pub(super) struct Killer {
    world: World,
    /// How long an undisturbed plan takes.
    usual: Duration,
    orphans: Vec<Orphan>,
    /// From each kill until nothing was left.
    took: Vec<Duration>,
}

impl Killer {
    pub(super) fn new(program: &Path, sandbox: Sandbox) -> Self {
        let world = World::new(program, sandbox);
        Self { world, usual: Duration::from_secs(1), orphans: Vec::new(), took: Vec::new() }
    }

    pub(super) fn kill(&mut self, job: &Job) {
        match job {
            Job::Point { point, stops } if points::is_at_start(point) => {
                self.kill_at_start(Trap { point, stops: *stops });
            }
            Job::Point { point, stops } if points::is_after_apply(point) => {
                self.kill_in_apply();
                self.kill_at_start(Trap { point, stops: *stops });
            }
            Job::Point { point, stops } => self.kill_at(Trap { point, stops: *stops }),
            Job::Moment => self.kill_at_a_moment(),
        }
    }

    /// The last agent of all, which is not killed; gives the times.
    pub(super) fn finish(mut self) -> Vec<Duration> {
        let mut agent = self.world.start_agent(NONE);
        self.do_a_run();
        agent.stop().unwrap();
        let canaries = self.world.all_canaries();
        assert!(canaries.is_empty(), "{canaries:?}");
        self.took
    }

    /// A whole run of a fresh agent, after which nothing is left of this or any earlier one.
    fn do_a_run(&mut self) {
        let run = self.world.look();
        let mut state = RunState::Pending;
        self.usual = self.world.wait("a run after a kill", || {
            state = self.world.run(run).state;
            state.is_final()
        });
        assert_eq!(state, RunState::PlanFinished, "{:?}\n{}", self.world.run(run).failure, self.world.log());
        for orphan in std::mem::take(&mut self.orphans) {
            self.world.wait("the end of an orphaned apply", || self.world.run(orphan.run).state.is_final());
            let state = self.world.state(&orphan.workspace);
            let is_rescued = state.is_some_and(|state| state.contains("by-the-stub"));
            assert!(is_rescued || !orphan.has_state, "the state of {} was lost\n{}", orphan.run, self.world.log());
        }
        self.world.wait("the sweep", || self.world.left().is_empty());
    }

    fn kill_at_start(&mut self, trap: Trap<'_>) {
        self.world.leave();
        self.world.arm();
        let mut agent = self.world.start_agent(trap);
        self.world.wait(trap.point, || self.world.has_reached());
        self.bury(&mut agent, trap);
        // What was left is for the next start.
    }

    fn kill_in_apply(&mut self) {
        let mut agent = self.world.start_agent(NONE);
        self.do_a_run();
        let (workspace, run) = self.world.change(true, "60");
        let listens = |world: &World| world.alive(Role::Late).iter().any(|process| process.is_apply);
        self.world.wait("the apply", || listens(&self.world) && has(&self.world, run, "listening"));
        agent.kill().unwrap();
        self.see_to_the_end(&workspace, run, Instant::now());
    }

    fn kill_at(&mut self, trap: Trap<'_>) {
        let mut agent = self.world.start_agent(trap);
        self.do_a_run();
        self.world.arm();
        let (workspace, run) = self.world.change(trap.point == "agent.apply.now", QUICK);
        self.world.wait(trap.point, || {
            self.world.approve(run);
            self.world.has_reached()
        });
        let killed = Instant::now();
        let is_agents = self.bury(&mut agent, trap);
        self.after(&mut agent, is_agents, (&workspace, run), killed);
    }

    fn kill_at_a_moment(&mut self) {
        let mut agent = self.world.start_agent(NONE);
        self.do_a_run();
        let random = support::child::random_bytes(4);
        let (workspace, run) = self.world.change(random[0].is_multiple_of(2), QUICK);
        // A plan, an approval, an apply, and something after that.
        let longest = self.usual.as_secs_f64() * 3.0;
        let moment = Duration::from_secs_f64(longest * f64::from(u16::from_be_bytes([random[1], random[2]])) / 65535.0);
        let begun = Instant::now();
        while begun.elapsed() < moment {
            self.world.approve(run);
            std::thread::sleep(LOOK.min(moment.saturating_sub(begun.elapsed())));
        }
        let launcher = self.world.alive(Role::Launcher).into_iter().next().filter(|_| random[3].is_multiple_of(2));
        match &launcher {
            Some(launcher) => processes::kill(*launcher),
            None => agent.kill().unwrap(),
        }
        self.after(&mut agent, launcher.is_none(), (&workspace, run), Instant::now());
    }

    /// Waits for the victim's end, or kills it where it stands; says whether it was the agent.
    fn bury(&mut self, agent: &mut Child, trap: Trap<'_>) -> bool {
        if trap.stops {
            self.world.wait("who stands still", || self.world.processes().iter().any(|process| process.is_stopped));
            let stopped = self.world.processes().into_iter().find(|process| process.is_stopped).unwrap();
            assert_eq!(stopped.role, Role::Agent);
        }
        let is_agents = trap.stops || trap.point.starts_with("agent.") || {
            // Some points are on the way of both.
            let begun = Instant::now();
            while agent.ended().unwrap().is_none() && begun.elapsed() < Duration::from_millis(200) {
                std::thread::sleep(Duration::from_millis(5));
            }
            agent.ended().unwrap().is_some()
        };
        if trap.stops {
            agent.kill().unwrap();
        } else if is_agents {
            self.world.wait("the agent's death", || agent.ended().unwrap().is_some());
        }
        self.world.disarm();
        is_agents
    }

    fn after(&mut self, agent: &mut Child, is_agents: bool, (workspace, run): (&str, RunId), killed: Instant) {
        if is_agents {
            return self.see_to_the_end(workspace, run, killed);
        }
        // The agent cleans up after its launcher and goes on.
        self.nothing_of_fetch_is_left(killed);
        self.world.wait("the end of a run whose launcher was killed", || {
            self.world.approve(run);
            self.world.run(run).state.is_final()
        });
        self.world.wait("the wipe", || self.world.left().is_empty());
        agent.kill().unwrap();
    }

    fn nothing_of_fetch_is_left(&mut self, killed: Instant) {
        self.world.wait("nothing of fetch and init", || {
            self.world.alive(Role::Early).is_empty() && self.world.canaries().is_empty()
        });
        let took = killed.elapsed();
        assert!(took < LEFT, "{took:?}\n{}", self.world.log());
        self.took.push(took);
    }

    /// What the launchers of a dead agent must do.
    fn see_to_the_end(&mut self, workspace: &str, run: RunId, killed: Instant) {
        self.nothing_of_fetch_is_left(killed);
        self.world.wait("the end of the launchers", || self.world.processes().is_empty());
        let canaries = self.world.canaries();
        assert!(canaries.is_empty(), "{canaries:?}");
        // tofu had begun to listen for interrupts, so it was not killed.
        let has_state = has(&self.world, run, "errored.tfstate");
        let is_graceful = has_state || has(&self.world, run, "finished");
        assert!(is_graceful || !has(&self.world, run, "listening"), "an apply was killed\n{}", self.world.log());
        let steps = self.world.run(run).steps;
        if steps.iter().any(|step| step.step == Step::Apply) {
            self.orphans.push(Orphan { workspace: workspace.to_owned(), run, has_state });
        } else {
            self.world.cancel(run);
        }
    }
}

/// Whether the run's configuration has this file.
fn has(world: &World, run: RunId, name: &str) -> bool {
    fs::exists(world.stack.run_root().join(run.to_string()).join("configuration").join(name)).unwrap()
}
