//! Somebody is killed: agent, launcher, or both in turn.

use std::fs;
use std::time::{Duration, Instant};

use nigari::process::tree;
use nigari::sandbox::{Launch, Sandbox, WhenAgentDies};
use rustix::process::{Pid, Signal, kill_process};

use super::agent_process::{Programs, User};
use super::{Place, SOON, agent_process, loops, wait_until};

/// Starts things that do not want to die: in sessions of their own, double-forked, deaf to signals.
const STUBBORN: &str = "trap '' INT TERM HUP; setsid sleep 600 & (setsid sh -c 'trap \"\" TERM; sleep 600 & sleep 600' &) ; \
                        test \"$(cat $SECRETS/docker/config.json)\" = canary-7f3a9c && touch ready; sleep 600";

fn nothing_is_left_soon(place: &Place, since: Instant) -> Duration {
    loop {
        let (alive, secrets) = (place.alive(), place.secrets_left());
        let took = since.elapsed();
        if alive.is_empty() && secrets.is_empty() {
            return took;
        }
        assert!(took < SOON, "after {took:?} there are alive {alive:?}, secrets {secrets:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A different pause each time, up to `most_ms`.
fn random_pause(most_ms: u64) {
    let random = uuid::Uuid::new_v4().as_u64_pair().0;
    std::thread::sleep(Duration::from_micros(random % (most_ms * 1000)));
}

pub(super) fn launcher_of(place: &Place) -> Pid {
    let parent = parent_of_step(place);
    // There it is init.
    if place.sandbox == Sandbox::Namespace { parent_of(parent) } else { parent }
}

fn parent_of_step(place: &Place) -> Pid {
    let pid: i32 = fs::read_to_string(place.path("started")).unwrap().parse().unwrap();
    parent_of(Pid::from_raw(pid).unwrap())
}

fn parent_of(pid: Pid) -> Pid {
    Pid::from_raw(tree::look_up(pid).unwrap().parent).unwrap()
}

#[test]
fn nothing_survives_a_killed_agent() {
    let mut slowest = Duration::ZERO;
    for place in (0..loops(20)).flat_map(|_| Place::each()) {
        let agent = agent_process::start(place.shell_with_secret(STUBBORN), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists());
        random_pause(20);
        agent.signal(Signal::KILL).unwrap();
        let killed = Instant::now();
        agent.wait().unwrap();
        slowest = slowest.max(nothing_is_left_soon(&place, killed));
    }
    println!("slowest: {slowest:?}");
}

#[test]
fn nothing_survives_an_agent_killed_at_any_moment_of_a_start() {
    for place in (0..loops(20)).flat_map(|_| Place::each()) {
        let agent = agent_process::start(place.shell_with_secret(STUBBORN), place.run.path());
        random_pause(60);
        agent.signal(Signal::KILL).unwrap();
        agent.wait().unwrap();
        // A launcher that had just been forked may still be about to begin.
        std::thread::sleep(Duration::from_millis(100));
        nothing_is_left_soon(&place, Instant::now());
    }
}

fn interruptible(place: &Place, script: &str, wait: Duration) -> Launch {
    let mut launch = place.shell_with_secret(script);
    launch.when_agent_dies = WhenAgentDies::Interrupt { wait };
    launch
}

#[test]
fn an_interruptible_step_writes_its_state_after_the_agent_was_killed() {
    for place in (0..loops(5)).flat_map(|_| Place::each()) {
        // More than a pipe holds, before and after: a broken or a full pipe would show.
        let script = "stop() { sleep 0.2; test -e $SECRETS/docker && touch secret-was-there; \
                        head -c 3000000 /dev/zero && head -c 3000000 /dev/zero >&2 && echo state > state; exit 0; }; \
                      trap stop INT; touch ready; while :; do echo line; sleep 0.02; done";
        let agent = agent_process::start(interruptible(&place, script, Duration::from_mins(10)), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
        let launcher = launcher_of(&place);
        agent.signal(Signal::KILL).unwrap();
        agent.wait().unwrap();
        wait_until("the state is written", || place.path("state").exists());
        wait_until("the launcher is gone", || tree::look_up(launcher).is_none_or(|process| process.is_zombie));
        assert!(!place.path("secret-was-there").exists());
        assert!(place.alive().is_empty() && place.secrets_left().is_empty());
    }
}

#[test]
fn a_step_that_does_not_listen_is_interrupted_again_when_its_time_is_over() {
    for place in Place::each() {
        let script = "n=0; trap 'n=$((n+1)); echo $n > interrupts; [ $n = 2 ] && exit 0' INT; touch ready; while :; do sleep 0.02; done";
        let agent = agent_process::start(interruptible(&place, script, Duration::from_secs(1)), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists());
        agent.signal(Signal::KILL).unwrap();
        agent.wait().unwrap();
        wait_until("the second interrupt came", || {
            fs::read_to_string(place.path("interrupts")).is_ok_and(|interrupts| interrupts == "2\n")
        });
        nothing_is_left_soon(&place, Instant::now());
    }
}

#[test]
fn the_agent_kills_and_wipes_when_its_launcher_was_killed() {
    for place in (0..loops(10)).flat_map(|_| Place::each()) {
        let agent = agent_process::start(place.shell_with_secret(STUBBORN), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
        random_pause(20);
        kill_process(launcher_of(&place), Signal::KILL).unwrap();
        let killed = Instant::now();
        nothing_is_left_soon(&place, killed);
        wait_until("the agent has an end", || place.path("ended").exists());
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("exit: Signal(9)") && end.contains("launcher_lost: true"), "{end}");
        let by = if place.sandbox == Sandbox::Namespace { "by: Kernel" } else { "by: Agent" };
        assert!(end.contains(by) && end.contains("survivors: 0"), "{end}");
        // The status of the agent's other child was not taken by the reaper.
        assert!(end.ends_with("other: exit code 42"), "{end}");
        assert!(agent.wait().unwrap().is_success());
    }
}

#[test]
fn a_launcher_that_is_asked_to_end_goes_on_until_its_step_has_ended() {
    for place in Place::each() {
        let script =
            "trap 'echo 3 > interrupted; exit 3' INT; touch ready; while [ ! -e go ]; do sleep 0.02; done; exit 5";
        let agent = agent_process::start(place.shell_with_secret(script), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
        let launcher = launcher_of(&place);
        for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
            for _ in 0..3 {
                kill_process(launcher, signal).unwrap();
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        assert!(!place.path("ended").exists() && !place.path("interrupted").exists());
        fs::write(place.path("go"), "").unwrap();
        wait_until("the agent has an end", || place.path("ended").exists());
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("exit: Code(5)") && end.contains("launcher_lost: false"), "{end}");
        assert!(agent.wait().unwrap().is_success());
    }
}

#[test]
fn an_agent_that_finds_a_link_in_place_of_the_secrets_does_not_call_them_wiped() {
    let place = Place::new();
    let launch =
        place.shell_with_secret("mv $SECRETS $SECRETS-moved && ln -s $PWD $SECRETS && touch ready keep; sleep 600");
    let agent = agent_process::start(launch, place.run.path());
    wait_until("the step is ready", || place.path("keep").exists() && place.path("started").exists());
    kill_process(launcher_of(&place), Signal::KILL).unwrap();
    wait_until("the agent has an end", || place.path("ended").exists());
    let end = fs::read_to_string(place.path("ended")).unwrap();
    assert!(end.starts_with("Err(WipeUnverified"), "{end}");
    assert!(place.path("keep").exists(), "the link was followed");
    agent.wait().unwrap();
}

#[test]
fn without_root_everything_works_and_nobody_of_the_same_user_can_look_into_the_launcher() {
    if !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    for place in Place::each() {
        let script = "ls /proc/$$/fd > own || exit 1; ls /proc/$PPID/fd > descriptors; cat /proc/$PPID/maps > memory; \
                      cat /proc/$PPID/environ > environment; \
                      cat $SECRETS/docker/config.json > secret; setsid sleep 600 & sleep 0.2; exit 0";
        let launch = place.given_to_nobody(place.shell_with_secret(script));
        let agent = agent_process::start_as_nobody(launch, place.run.path(), &programs);
        wait_until("the agent has an end", || place.path("ended").exists());
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("exit: Code(0)") && end.contains("by: Launcher"), "{end}");
        assert!(agent.wait().unwrap().is_success());
        assert!(place.alive().is_empty());
        let length = |name: &str| fs::read(place.path(name)).unwrap().len();
        assert_eq!((length("secret"), length("descriptors")), (super::CANARY.len(), 0));
        assert_eq!((length("memory"), length("environment")), (0, 0));
        assert!(length("own") > 0);
    }
}

#[test]
fn without_root_nothing_survives_a_killed_agent_or_init() {
    if !agent_process::users().contains(&User::Nobody) {
        return;
    }
    let programs = Programs::make();
    for (round, place) in (0..loops(5)).flat_map(|round| Place::each().into_iter().map(move |place| (round, place))) {
        let launch = place.given_to_nobody(place.shell_with_secret(STUBBORN));
        let agent = agent_process::start_as_nobody(launch, place.run.path(), &programs);
        wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
        // The agent, the launcher (or init, where there is one), the launcher.
        let victim = match round % 3 {
            0 => agent.pid(),
            1 => parent_of_step(&place),
            _ => launcher_of(&place),
        };
        kill_process(victim, Signal::KILL).unwrap();
        let killed = Instant::now();
        nothing_is_left_soon(&place, killed);
        agent.wait().unwrap();
    }
}

#[test]
fn a_killed_init_takes_everything_along_and_is_told() {
    for place in (0..loops(5)).flat_map(|_| Place::each()).filter(|place| place.sandbox == Sandbox::Namespace) {
        let agent = agent_process::start(place.shell_with_secret(STUBBORN), place.run.path());
        wait_until("the step is ready", || place.path("ready").exists() && place.path("started").exists());
        random_pause(20);
        kill_process(parent_of_step(&place), Signal::KILL).unwrap();
        nothing_is_left_soon(&place, Instant::now());
        wait_until("the agent has an end", || place.path("ended").exists());
        let end = fs::read_to_string(place.path("ended")).unwrap();
        assert!(end.contains("exit: Signal(9)") && end.contains("launcher_lost: false"), "{end}");
        assert!(end.contains("by: Launcher") && end.contains("survivors: 0"), "{end}");
        agent.wait().unwrap();
    }
}
