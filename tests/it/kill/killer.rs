//! One kill after the other in one world, and what must be so after each.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use nigari::process::tree;
use nigari::protocol::id::RunId;
use nigari::protocol::run::{RunState, Step};
use nigari::sandbox::Sandbox;
use support::child::Child;

use super::processes::{self, Process, Role};
use super::world::{LOOK, NONE, NOTHING, QUICK, Trap, World};
use super::{SOON, points};

/// Longest time until nothing is left of `fetch` and `init`, whatever else the machine does. That nothing of them lives
/// after a second is the promise, see [`super::PROMISED`].
/// A step that is slow takes twice as long, so that it is seen if it is left to end by itself.
const LEFT: Duration = Duration::from_secs(10);

/// One agent in so many does a whole run before it is killed in another.
const WHOLE: u32 = 4;

/// One kill.
#[derive(Debug)]
pub(super) enum Job {
    /// At a fail point: by itself, or after it has stood still there.
    Point { point: String, stops: bool },
    /// Whenever it comes.
    Moment,
    /// In an apply, after which the next agent does not wait until it has ended.
    Succeeded,
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Agent,
    Launcher,
    /// A launcher that had no step, or none yet: the run goes on, or fails.
    StoodBy,
    /// Agent and launchers, none of which has time to see that the other is gone.
    Both,
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
    /// How many agents have begun.
    agents: u32,
    took: Vec<Took>,
}

/// How long it took after one kill.
#[derive(Clone, Copy)]
pub(super) struct Took {
    /// Until nothing of fetch and init lived any more.
    pub(super) dead: Duration,
    /// Until nothing of theirs was left.
    pub(super) gone: Duration,
}

impl Killer {
    pub(super) fn new(program: &Path, sandbox: Sandbox) -> Self {
        let world = World::new(program, sandbox);
        let mut killer =
            Self { world, usual: Duration::from_secs(1), orphans: Vec::new(), agents: 0, took: Vec::new() };
        // From now on there is a secret root that agents remember.
        let mut agent = killer.world.start_agent(NONE);
        killer.do_a_run();
        agent.stop().unwrap();
        killer
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
            Job::Succeeded => self.kill_in_apply_and_go_on(),
        }
    }

    /// The last agent of all, which is not killed; gives the times.
    pub(super) fn finish(mut self) -> Vec<Took> {
        let mut agent = self.world.start_agent(NONE);
        self.do_a_run();
        self.nothing_is_left();
        agent.stop().unwrap();
        let canaries = self.world.all_canaries();
        assert!(canaries.is_empty(), "{canaries:?}");
        self.took
    }

    /// What a fresh agent does before it is killed: nothing is left of any earlier one, and now and then it does a whole
    /// run first. That it takes a run at all is shown by the one in which it is killed.
    fn begin(&mut self, agent: &mut Child) {
        self.agents += 1;
        if self.agents.is_multiple_of(WHOLE) {
            self.do_a_run();
        }
        agent.wait_for_line("session opened", SOON).unwrap();
        self.nothing_is_left();
    }

    fn do_a_run(&mut self) {
        let run = self.world.look();
        let mut state = RunState::Pending;
        self.usual = self.world.wait("a run after a kill", || {
            state = self.world.run(run).state;
            state.is_final()
        });
        assert_eq!(state, RunState::PlanFinished, "{:?}\n{}", self.world.run(run).failure, self.world.log());
    }

    fn nothing_is_left(&mut self) {
        for orphan in std::mem::take(&mut self.orphans) {
            self.world.wait("the end of an orphaned apply", || self.world.run(orphan.run).state.is_final());
            let applies = self.world.run(orphan.run).steps.iter().filter(|step| step.step == Step::Apply).count();
            assert_eq!(applies, 1, "{} was applied more than once", orphan.run);
            let state = self.world.state(&orphan.workspace);
            let is_rescued = state.is_some_and(|state| state.contains("by-the-stub"));
            assert!(is_rescued || !orphan.has_state, "the state of {} was lost\n{}", orphan.run, self.world.log());
        }
        self.world.wait("the sweep", || self.world.left().is_empty());
        let canaries = self.world.canaries();
        assert!(canaries.is_empty(), "{canaries:?}");
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
        self.begin(&mut agent);
        let (workspace, run) = self.begin_apply();
        agent.kill().unwrap();
        self.see_to_the_end(&workspace, run, Instant::now());
    }

    /// An apply that listens for interrupts and takes a minute.
    fn begin_apply(&mut self) -> (String, RunId) {
        let (workspace, run) = self.world.change(true, "60", NOTHING);
        let listens = |world: &World| world.alive(Role::Late).iter().any(|process| process.is_apply);
        self.world.wait("the apply", || listens(&self.world) && has(&self.world, run, "listening"));
        (workspace, run)
    }

    /// What the apply still has must be left alone until it has ended, and then its state is rescued.
    fn kill_in_apply_and_go_on(&mut self) {
        let mut agent = self.world.start_agent(NONE);
        self.begin(&mut agent);
        let (workspace, run) = self.begin_apply();
        agent.kill().unwrap();
        let mut next = self.world.start_agent(NONE);
        self.orphans.push(Orphan { workspace, run, has_state: true });
        self.nothing_is_left();
        next.kill().unwrap();
        self.nothing_of_fetch_is_left(Instant::now());
        self.world.wait("the end of the launchers", || self.world.processes().is_empty());
    }

    fn kill_at(&mut self, trap: Trap<'_>) {
        let mut agent = self.world.start_agent(trap);
        self.begin(&mut agent);
        self.world.arm();
        let slow = if points::is_while_a_step_begins(trap.point) { "get" } else { NOTHING };
        let (workspace, run) = self.world.change(trap.point == "agent.apply.now", QUICK, slow);
        self.world.wait(trap.point, || {
            self.world.approve(run);
            self.world.has_reached()
        });
        let killed = Instant::now();
        let victim = if self.bury(&mut agent, trap) { Victim::Agent } else { Victim::Launcher };
        self.after(&mut agent, victim, (&workspace, run), killed);
    }

    fn kill_at_a_moment(&mut self) {
        let mut agent = self.world.start_agent(NONE);
        self.begin(&mut agent);
        let random = support::child::random_bytes(5);
        let slow = [NOTHING, NOTHING, NOTHING, "get", "get", "init", "plan", "apply"][usize::from(random[4] % 8)];
        let (workspace, run) = self.world.change(random[0].is_multiple_of(2), QUICK, slow);
        // A plan, an approval, an apply, and something after that.
        let longest = self.usual.as_secs_f64() * 3.0;
        let moment = Duration::from_secs_f64(longest * f64::from(u16::from_be_bytes([random[1], random[2]])) / 65535.0);
        let begun = Instant::now();
        while begun.elapsed() < moment {
            self.world.approve(run);
            std::thread::sleep(LOOK.min(moment.saturating_sub(begun.elapsed())));
        }
        let launchers = self.world.alive(Role::Launcher);
        let victim = match (random[3] % 3, launchers.first()) {
            (0, _) | (_, None) => Victim::Agent,
            (1, Some(launcher)) => self.kill_launcher(*launcher),
            _ => {
                launchers.iter().copied().for_each(processes::stop);
                Victim::Both
            }
        };
        let killed = Instant::now();
        if matches!(victim, Victim::Agent | Victim::Both) {
            agent.kill().unwrap();
        }
        if victim == Victim::Both {
            self.world.alive(Role::Launcher).into_iter().for_each(processes::kill);
        }
        self.after(&mut agent, victim, (&workspace, run), killed);
    }

    /// Kills one launcher, standing still, so that what is seen of it stays so.
    fn kill_launcher(&self, launcher: Process) -> Victim {
        processes::stop(launcher);
        let below = tree::descendants(launcher.pid);
        let is_below = |process: &Process| below.iter().any(|one| one.pid == process.pid);
        let has_step = self.world.processes().iter().any(|process| process.role.is_of_step() && is_below(process));
        processes::kill(launcher);
        if has_step { Victim::Launcher } else { Victim::StoodBy }
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

    fn after(&mut self, agent: &mut Child, victim: Victim, (workspace, run): (&str, RunId), killed: Instant) {
        match victim {
            Victim::Agent => return self.see_to_the_end(workspace, run, killed),
            Victim::Both => return self.see_to_the_rest(workspace, run, killed),
            // The agent cleans up after its launcher and goes on.
            Victim::Launcher => self.nothing_of_fetch_is_left(killed),
            Victim::StoodBy => {}
        }
        self.world.wait("the end of a run whose launcher was killed", || {
            self.world.approve(run);
            self.world.run(run).state.is_final()
        });
        self.world.wait("the wipe", || self.world.left().is_empty());
        agent.kill().unwrap();
    }

    fn nothing_of_fetch_is_left(&mut self, killed: Instant) {
        let mut dead = None;
        self.world.wait("nothing of fetch and init", || {
            // One that was just executing another program was not seen.
            let lives = !self.world.alive(Role::Early).is_empty();
            dead = if lives { None } else { dead.or_else(|| Some(killed.elapsed())) };
            !lives && self.world.canaries().is_empty()
        });
        let gone = killed.elapsed();
        assert!(gone < LEFT, "{gone:?}\n{}", self.world.log());
        self.took.push(Took { dead: dead.unwrap_or(gone), gone });
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
        self.leave_to_the_next(workspace, run, has_state);
    }

    /// What is so without agent and launchers: the kernel ends every step. Without namespaces it spares what a step has
    /// started, and the secret directory waits for the next agent.
    fn see_to_the_rest(&mut self, workspace: &str, run: RunId, killed: Instant) {
        if self.world.sandbox == Sandbox::Namespace {
            self.nothing_of_fetch_is_left(killed);
        }
        self.world.wait("the end of the steps", || self.world.processes().iter().all(|process| !process.is_step));
        assert!(killed.elapsed() < LEFT, "{:?}\n{}", killed.elapsed(), self.world.log());
        self.world.wait("the end of everything", || {
            let left = self.world.processes();
            if self.world.sandbox == Sandbox::Process {
                // Each time: one that was just executing another program was not seen.
                left.iter().copied().for_each(processes::kill);
            }
            left.is_empty()
        });
        let canaries = self.world.canaries_on_disks();
        assert!(canaries.is_empty(), "{canaries:?}");
        let has_state = has(&self.world, run, "errored.tfstate");
        self.leave_to_the_next(workspace, run, has_state);
    }

    /// A run whose apply was reported is ended by the next agent; another would be done again.
    fn leave_to_the_next(&mut self, workspace: &str, run: RunId, has_state: bool) {
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
