//! How a step is made to end, and that nothing of it is left.

use std::time::{Duration, Instant};

use nigari::process::{ExitReason, Grace};
use nigari::sandbox::Sandbox;
use rustix::fs::{FlockOperation, flock};
use tokio::io::AsyncReadExt as _;

use super::{Place, SOON, launcher, run, wait_until};

/// Waits for `ready` on standard output.
async fn ready(step: &mut nigari::sandbox::Step) -> nigari::sandbox::Output {
    let mut stdout = step.stdout().unwrap();
    let mut word = [0; 6];
    stdout.read_exact(&mut word).await.unwrap();
    assert_eq!(&word, b"ready\n");
    stdout
}

const GRACE: Grace = Grace { first: Duration::from_millis(500), second: Duration::from_millis(500) };

#[tokio::test]
async fn what_a_step_leaves_behind_is_dead_when_it_is_over() {
    for place in Place::each() {
        // Once in its group, once in a session of its own, once double-forked; the last keep the pipe open as well.
        let script = "sleep 600 & setsid sleep 600 & (setsid sh -c 'sleep 600 & sleep 600' &) ; \
                  sleep 0.3; exit 7";
        let ran = run(place.shell_with_secret(script)).await.unwrap();
        assert_eq!(ran.end.exit, ExitReason::Code(7));
        assert!(ran.end.leftovers >= 4, "{:?}", ran.end);
        assert_eq!((ran.end.survivors, place.alive()), (0, vec![]));
        assert!(place.secrets_left().is_empty());
    }
}

#[tokio::test]
async fn a_tree_that_keeps_forking_is_dead_when_the_step_is_over() {
    for place in Place::each() {
        let script = "chain() { (sleep 0.01; chain) & }; chain; chain; sleep 0.2; exit 0";
        let ran = run(place.shell(script)).await.unwrap();
        assert_eq!((ran.end.exit, ran.end.survivors, place.alive()), (ExitReason::Code(0), 0, vec![]));
    }
}

/// The kernel shows a process whose first thread has ended as a zombie, though another thread goes on.
#[tokio::test]
async fn a_process_whose_first_thread_has_ended_is_dead_as_well_when_the_step_is_over() {
    let source = r#"
        #include <fcntl.h>
        #include <pthread.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static void *beat(void *nothing) {
            for (;;) {
                int file = open("beats", O_WRONLY | O_CREAT | O_APPEND, 0600);
                if (write(file, ".", 1) != 1) return nothing;
                close(file);
                usleep(5000);
            }
        }
        int main(void) {
            pthread_t thread;
            if (pthread_create(&thread, 0, beat, 0)) return 1;
            syscall(SYS_exit, 0);
        }
    "#;
    for place in Place::each() {
        std::fs::write(place.path("half.c"), source).unwrap();
        let mut compile = support::child::command("cc");
        compile.args(["-pthread", "-o", "half", "half.c"]).current_dir(place.run.path());
        support::child::run(compile).unwrap().succeeded().unwrap();
        let beats = || std::fs::metadata(place.path("beats")).map_or(0, |found| found.len());
        let begun = Instant::now();
        let ran =
            run(place.shell_with_secret("setsid ./half & while [ ! -s beats ]; do sleep 0.01; done")).await.unwrap();
        assert!(ran.end.leftovers >= 1 && ran.end.survivors == 0, "{:?}: {:?}", place.sandbox, ran.end);
        assert!(begun.elapsed() < SOON, "it was waited for");
        let told = beats();
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(beats(), told, "{:?}: it lives", place.sandbox);
    }
}

#[tokio::test]
async fn interrupt_reaches_the_process_and_not_what_it_started() {
    for place in Place::each() {
        // A shell starts what is in the background deaf to SIGINT; a provider's own handler would hear it.
        let provider = "trap 'echo hit > provider-hit' INT TERM; touch provider; while :; do sleep 0.05; done";
        let script = format!(
            "env --default-signal=INT sh -c \"{provider}\" & trap 'echo stopping; sleep 0.3; exit 3' INT; \
         while [ ! -e provider ]; do sleep 0.01; done; echo ready; while :; do sleep 0.05; done"
        );
        let mut step = launcher().start(place.shell(&script)).await.unwrap();
        let mut stdout = ready(&mut step).await;
        step.interrupt();
        let mut rest = String::new();
        stdout.read_to_string(&mut rest).await.unwrap();
        assert_eq!((rest.as_str(), step.wait().await.unwrap().exit), ("stopping\n", ExitReason::Code(3)));
        assert!(!place.path("provider-hit").exists());
        assert!(place.alive().is_empty());
    }
}

#[tokio::test]
async fn cancel_interrupts_twice_and_then_kills() {
    for place in Place::each() {
        let obeys_the_second =
            "n=0; trap 'n=$((n+1)); [ $n = 2 ] && exit 9' INT; echo ready; while :; do sleep 0.02; done";
        let obeys_none = "trap '' INT; echo ready; while :; do sleep 0.02; done";
        for (script, exit) in [(obeys_the_second, ExitReason::Code(9)), (obeys_none, ExitReason::Signal(9))] {
            let mut step = launcher().start(place.shell(script)).await.unwrap();
            let _stdout = ready(&mut step).await;
            let begun = Instant::now();
            step.cancel(GRACE);
            let end = step.wait().await.unwrap();
            assert_eq!(end.exit, exit);
            assert!(begun.elapsed() >= GRACE.first && !end.out_of_memory, "{end:?}");
        }
        assert!(place.alive().is_empty());
    }
}

#[tokio::test]
async fn kill_takes_the_whole_tree_at_once() {
    for place in Place::each() {
        let script = "trap '' INT TERM; (setsid sleep 600 &); setsid sleep 600 & echo ready; sleep 600";
        let mut step = launcher().start(place.shell_with_secret(script)).await.unwrap();
        let _stdout = ready(&mut step).await;
        step.kill();
        assert_eq!(step.wait().await.unwrap().exit, ExitReason::Signal(9));
        assert!(place.alive().is_empty() && place.secrets_left().is_empty());
    }
}

#[tokio::test]
async fn dropping_a_step_kills_and_wipes() {
    for place in Place::each() {
        let mut step =
            launcher().start(place.shell_with_secret("setsid sleep 600 & echo ready; sleep 600")).await.unwrap();
        let stdout = ready(&mut step).await;
        assert!(!place.alive().is_empty());
        // In `namespace` the host has none at any time.
        assert_eq!(place.secrets_left().is_empty(), place.sandbox == Sandbox::Namespace);
        drop((step, stdout));
        let begun = Instant::now();
        while !(place.alive().is_empty() && place.secrets_left().is_empty()) {
            assert!(begun.elapsed() < SOON, "alive {:?}, secrets {:?}", place.alive(), place.secrets_left());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn a_start_that_nobody_waits_for_is_killed() {
    for place in Place::each() {
        let launcher = launcher();
        let start = launcher.start(place.shell_with_secret("sleep 600"));
        // Long enough for the launcher to be started, too short for it to answer, or not: either must leave nothing.
        let _ = tokio::time::timeout(Duration::from_millis(2), start).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let begun = Instant::now();
        while !(place.alive().is_empty() && place.secrets_left().is_empty()) {
            assert!(begun.elapsed() < SOON, "alive {:?}, secrets {:?}", place.alive(), place.secrets_left());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn the_run_directory_is_locked_as_long_as_the_step_lives() {
    for place in Place::each() {
        let mut step = launcher().start(place.shell("echo ready; sleep 600")).await.unwrap();
        let _stdout = ready(&mut step).await;
        let directory = std::fs::File::open(place.run.path()).unwrap();
        assert!(flock(&directory, FlockOperation::NonBlockingLockExclusive).is_err());
        step.kill();
        step.wait().await.unwrap();
        wait_until("the lock is free", || flock(&directory, FlockOperation::NonBlockingLockExclusive).is_ok());
    }
}
