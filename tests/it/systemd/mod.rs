//! The units: what systemd itself says of them, and that they fit the program.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failure in a test ends the test")]

mod booted;
mod notification;

use std::path::{Path, PathBuf};

use nigari::cli::exit::ExitStatus;
use nigari::settings::agent::Patience;
use support::child::{Finished, command, run};
use support::require;

use crate::cli::program;

/// Exposure × 10 that a unit may have (`systemd-analyze security`, systemd 252).
const UNITS: [(&str, u32); 2] = [("nigari-server.service", 12), ("nigari-agent.service", 19)];

fn unit(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd").join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(unit(name)).unwrap()
}

/// The values of a directive, in order.
fn values<'a>(text: &'a str, directive: &str) -> Vec<&'a str> {
    text.lines().filter_map(|line| line.strip_prefix(directive)?.strip_prefix('=')).collect()
}

/// Runs `systemd-analyze`, if there is one.
fn analyze(arguments: &[&str]) -> Option<Finished> {
    let mut analyze = command(require::program("systemd-analyze")?);
    analyze.args(arguments);
    Some(run(analyze).unwrap())
}

#[test]
fn systemd_finds_no_fault_with_the_units() {
    let directory = tempfile::tempdir().unwrap();
    for (name, _) in UNITS {
        // The program is where this build has it; systemd demands that it is there.
        let text = text(name).replace("/usr/bin/nigari", &program().display().to_string());
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        let Some(said) = analyze(&["verify", "--man=no", &path.display().to_string()]) else { return };
        assert_eq!((said.code, said.all().as_str()), (Some(0), ""), "{name}");
    }
}

#[test]
fn the_units_are_exposed_no_more_than_they_must_be() {
    for (name, threshold) in UNITS {
        let path = unit(name).display().to_string();
        let threshold = format!("--threshold={threshold}");
        let Some(said) = analyze(&["security", "--offline=true", "--no-pager", &threshold, &path]) else { return };
        let missing: String = said.out.lines().filter(|line| !line.contains('✓')).collect::<Vec<_>>().join("\n");
        assert_eq!(said.code, Some(0), "{name}\n{missing}\n{}", said.err);
    }
}

#[test]
fn the_whole_proc_that_a_sandbox_needs_lies_where_root_alone_gets() {
    let text = text("nigari-agent.service");
    let bound = values(&text, "BindReadOnlyPaths");
    let place = bound[0].strip_prefix("-/proc:").unwrap().strip_suffix("/whole:norbind").unwrap();
    let directories = self::text("nigari.tmpfiles.conf");
    assert!(directories.lines().any(|line| line == format!("d {place} 0700 root root -")), "{place}\n{directories}");
}

#[test]
fn no_restart_where_a_restart_mends_nothing() {
    let lasting = [ExitStatus::WipeFailed, ExitStatus::Refused, ExitStatus::Settings];
    let codes: Vec<String> = lasting.iter().map(|status| status.code().to_string()).collect();
    for (name, _) in UNITS {
        assert_eq!(values(&text(name), "RestartPreventExitStatus"), [codes.join(" ")], "{name}");
    }
}

#[test]
fn the_agent_has_time_to_begin_and_to_end_its_runs() {
    let text = text("nigari-agent.service");
    let seconds = |directive| 60 * values(&text, directive)[0].trim_end_matches("min").parse::<u64>().unwrap();
    let Patience { drain, apply, step, request, .. } = Patience::default();
    assert!(seconds("TimeoutStopSec") > (drain + apply + step * 2).as_secs());
    // It can say itself that it waited for its server in vain.
    assert!(seconds("TimeoutStartSec") > request.as_secs());
}

#[test]
fn the_units_start_words_that_the_program_knows() {
    for (name, _) in UNITS {
        let text = text(name);
        for directive in ["ExecStart", "ExecStopPost"] {
            for line in values(&text, directive) {
                let words: Vec<&str> = line.split(' ').collect();
                assert_eq!(words[0], "/usr/bin/nigari", "{name}");
                nigari::cli::check_words(words).unwrap_or_else(|error| panic!("{name}: {line}: {error}"));
            }
        }
    }
}

#[test]
fn users_and_directories_are_those_of_the_units() {
    let users = text("nigari.sysusers.conf");
    for (name, _) in UNITS {
        let user = name.trim_end_matches(".service");
        assert_eq!(values(&text(name), "User"), [user]);
        assert_eq!(values(&text(name), "StateDirectory"), [user]);
        assert!(users.lines().any(|line| line.starts_with(&format!("u {user} "))), "{user}");
    }
}
