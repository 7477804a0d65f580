//! What a step gets and gives while everybody lives.

use std::fs;

use nigari::process::{ExitReason, tree};
use nigari::sandbox::{Environment, Refusal, StepError};
use rustix::process::{Pid, getpid};
use tokio::io::AsyncReadExt as _;

use super::{Place, launcher, run};

#[tokio::test]
async fn exit_codes_and_signals_come_through() {
    for place in Place::each() {
        for code in [0, 1, 2, 137, 255] {
            let ran = run(place.shell(&format!("exit {code}"))).await.unwrap();
            assert_eq!(ran.end.exit, ExitReason::Code(code));
            assert!(!ran.end.launcher_lost && ran.end.leftovers == 0 && ran.end.wiped.is_none(), "{:?}", ran.end);
        }
        for signal in [9, 11, 15] {
            let ran = run(place.shell(&format!("kill -{signal} $$"))).await.unwrap();
            assert_eq!(ran.end.exit, ExitReason::Signal(signal));
        }
    }
}

#[tokio::test]
async fn a_launcher_that_stands_by_is_the_one_that_starts_the_next_step() {
    for place in Place::each() {
        let launcher = launcher();
        launcher.stand_by(place.sandbox);
        // On this runtime's one thread it is there when we come back.
        tokio::task::yield_now().await;
        let known: Vec<i32> = tree::children(getpid()).iter().map(|child| child.pid.as_raw_pid()).collect();
        let step = launcher.start(place.shell("sleep 600")).await.unwrap();
        let mut ancestor = step.process_id();
        while tree::look_up(Pid::from_raw(ancestor).unwrap()).unwrap().parent != getpid().as_raw_pid() {
            ancestor = tree::look_up(Pid::from_raw(ancestor).unwrap()).unwrap().parent;
        }
        assert!(known.contains(&ancestor), "{ancestor} is not one of {known:?}");
        step.kill();
        assert_eq!(super::follow(step).await.unwrap().end.exit, ExitReason::Signal(9));
        // None stands by now.
        assert_eq!(
            super::follow(launcher.start(place.shell("exit 3")).await.unwrap()).await.unwrap().end.exit,
            ExitReason::Code(3)
        );
    }
}

#[tokio::test]
async fn both_streams_come_complete_and_apart() {
    for place in Place::each() {
        let ran = run(place.shell("echo out; echo err >&2; printf last")).await.unwrap();
        assert_eq!((ran.text().as_str(), ran.stderr.as_slice()), ("out\nlast", &b"err\n"[..]));
    }
}

#[tokio::test]
async fn a_gigabyte_without_a_newline_comes_complete() {
    for place in Place::each() {
        let mut step = launcher().start(place.shell("head -c 1000000000 /dev/zero")).await.unwrap();
        let mut stdout = step.stdout().unwrap();
        let mut buffer = vec![1; 1 << 20];
        let mut length = 0_u64;
        loop {
            let count = stdout.read(&mut buffer).await.unwrap();
            if count == 0 {
                break;
            }
            length += count as u64;
        }
        assert_eq!(length, 1_000_000_000);
        assert_eq!(step.wait().await.unwrap().exit, ExitReason::Code(0));
    }
}

#[tokio::test]
async fn the_environment_is_exactly_what_was_given() {
    for place in Place::each() {
        let mut launch = place.shell("");
        launch.environment = Environment::new();
        launch.environment.set("QUOTES", "a \"b\" 'c' \\ ${HOME}\nsecond line ü").unwrap();
        launch.environment.set("EMPTY", "").unwrap();
        launch.program = "/usr/bin/env".into();
        launch.arguments = vec!["-0".into()];
        let ran = run(launch).await.unwrap();
        let text = ran.text();
        let mut entries: Vec<&str> = text.split_terminator('\0').collect();
        entries.sort_unstable();
        let pwd = format!("PWD={}", place.run.path().display());
        assert_eq!(entries, ["EMPTY=", pwd.as_str(), "QUOTES=a \"b\" 'c' \\ ${HOME}\nsecond line ü"]);
    }
}

#[tokio::test]
async fn arguments_and_working_directory_are_what_was_given() {
    for place in Place::each() {
        let mut launch = place.shell(r#"pwd -P; printf '[%s]' "$0" "$@""#);
        launch.arguments.extend(["a b", "", "$HOME", "ü\n"].map(String::from));
        let ran = run(launch).await.unwrap();
        assert_eq!(
            ran.text(),
            format!("{}\n[a b][][$HOME][ü\n]", fs::canonicalize(place.run.path()).unwrap().display())
        );
    }
}

#[tokio::test]
async fn no_descriptor_is_inherited() {
    for place in Place::each() {
        let leaky = fs::File::create(place.path("leaky")).unwrap();
        rustix::io::fcntl_setfd(&leaky, rustix::io::FdFlags::empty()).unwrap();
        let ran = run(place.shell("for fd in /proc/$$/fd/*; do readlink $fd; done")).await.unwrap();
        let text = ran.text();
        let open: Vec<&str> = text.lines().collect();
        assert!(
            matches!(open.as_slice(), ["/dev/null", out, err] if out.starts_with("pipe:") && err.starts_with("pipe:")),
            "{open:?}"
        );
    }
}

#[tokio::test]
async fn a_step_can_gain_nothing_and_leaves_no_core() {
    for place in Place::each() {
        let script =
            "grep -E '^(NoNewPrivs|Umask)' /proc/self/status; ulimit -c; ulimit -n; cat /proc/self/oom_score_adj";
        let mut launch = place.shell(&format!("sleep 0.2; {script}"));
        launch.limits.open_files = Some(256);
        let ran = run(launch).await.unwrap();
        assert_eq!(ran.text(), "Umask:\t0077\nNoNewPrivs:\t1\n0\n256\n500\n");
    }
}

#[tokio::test]
async fn a_step_has_no_capability_even_as_root_and_hears_every_signal() {
    for place in Place::each() {
        let ran = run(place.shell("exec cat /proc/self/status")).await.unwrap();
        let text = ran.text();
        let value = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
        for name in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
            assert_eq!(value(name), "0000000000000000", "{name}");
        }
        for name in ["SigBlk:", "SigIgn:", "SigCgt:"] {
            // 32 and above are the C library's own.
            let signals = u64::from_str_radix(&value(name), 16).unwrap() & 0x7fff_ffff;
            assert_eq!(signals, 0, "{name} {signals:x}");
        }
        // Only who has CAP_SETPCAP can take something out of it.
        if rustix::process::geteuid().is_root() {
            assert_eq!(value("CapBnd:"), "0000000000000000");
        }
    }
}

#[tokio::test]
async fn what_cannot_be_started_is_refused_by_name() {
    for place in Place::each() {
        let text = place.path("text");
        fs::write(&text, "no program").unwrap();
        let attempt = |program: &str| {
            let mut launch = place.shell_with_secret("exit 0");
            launch.program = program.into();
            launch
        };
        let refusal = async |launch| match run(launch).await.map(|ran| ran.end) {
            Err(StepError::Refused(refusal)) => refusal,
            other => panic!("{other:?}"),
        };
        assert!(matches!(refusal(attempt("/nonexistent/tofu")).await, Refusal::ProgramMissing { .. }));
        assert!(matches!(refusal(attempt("/dev/null/tofu")).await, Refusal::ProgramMissing { .. }));
        assert!(matches!(refusal(attempt(text.to_str().unwrap())).await, Refusal::ProgramNotExecutable { .. }));
        assert!(matches!(
            refusal(attempt(place.run.path().to_str().unwrap())).await,
            Refusal::ProgramNotExecutable { .. }
        ));
        assert!(matches!(refusal(attempt("tofu")).await, Refusal::Start { .. }));
        let mut launch = place.shell_with_secret("exit 0");
        launch.working_directory = place.path("nowhere");
        assert!(matches!(refusal(launch).await, Refusal::WorkingDirectory { .. }));
        let mut launch = place.shell_with_secret("exit 0");
        launch.lock_directories = vec![place.path("nowhere")];
        assert!(matches!(refusal(launch).await, Refusal::LockDirectory { .. }));
        assert_eq!(place.secrets_left(), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn an_environment_that_the_kernel_refuses_is_an_error_and_no_hang() {
    for place in Place::each() {
        let mut launch = place.shell_with_secret("exit 0");
        for number in 0..60 {
            launch.environment.set(format!("A{number}"), "x".repeat(130_000)).unwrap();
        }
        assert!(matches!(run(launch).await.map(|ran| ran.end), Err(StepError::Refused(Refusal::Start { .. }))));
        let mut launch = place.shell("exit 0");
        launch.arguments.extend((0..100).map(|_| "x".repeat(100_000)));
        assert!(matches!(run(launch).await.map(|ran| ran.end), Err(StepError::Channel { .. })));
        assert_eq!(place.secrets_left(), Vec::<std::path::PathBuf>::new());
    }
}
