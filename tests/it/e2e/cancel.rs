//! A person changes their mind, while a plan waits and while a real provider works.

use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use support::require;
use support::tools::provider_mirror;
use tempfile::TempDir;

use super::world::{Setup, World};
use super::{PLAIN, write};

/// The operator's CLI configuration, with a mirror that has the provider `time`.
struct Mirror {
    directory: TempDir,
    version: &'static str,
}

impl Mirror {
    fn start() -> Option<Self> {
        let program = require::provider_time()?;
        let directory = tempfile::tempdir().unwrap();
        let mirror = directory.path().join("mirror");
        let version = provider_mirror(&program, &mirror).unwrap();
        let text = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        );
        write(&directory.path().join("operator.tfrc"), &text);
        Some(Self { directory, version })
    }

    fn world(&self) -> Option<World> {
        let file = self.directory.path().join("operator.tfrc").display().to_string();
        World::with(Setup { agent: &["--cli-config", &file], ..Setup::default() })
    }

    /// Makes one resource, then sleeps in the provider that long.
    fn main(&self, sleep: &str) -> String {
        format!(
            "terraform {{\n  required_providers {{\n    time = {{\n      source  = \"hashicorp/time\"\n      version = \
             \"{}\"\n    }}\n  }}\n}}\nresource \"terraform_data\" \"first\" {{}}\nresource \"time_sleep\" \"wait\" {{\n  \
             depends_on      = [terraform_data.first]\n  create_duration = \"{sleep}\"\n}}\nresource \
             \"terraform_data\" \"last\" {{\n  depends_on = [time_sleep.wait]\n}}\n",
            self.version
        )
    }
}

#[test]
fn a_real_provider_works_and_its_plan_is_applied_by_another_claim() {
    let Some(mirror) = Mirror::start() else { return };
    let Some(world) = mirror.world() else { return };
    let id = world.plans(&world.configuration(&mirror.main("1s")));
    let said = world.ends(&["run", "approve", &id, "--follow"], 0);
    assert!(said.contains("time_sleep.wait: Creation complete") && said.contains("3 added"), "{said}");
}

#[test]
fn a_canceled_apply_keeps_what_the_provider_has_made() {
    let Some(mirror) = Mirror::start() else { return };
    let Some(world) = mirror.world() else { return };
    let id = world.begin(&world.configuration(&mirror.main("60s")), &["--auto-approve"]);
    world.wait(&id, "the provider at work", |_| world.log(&id).contains("time_sleep.wait: Creating..."));
    let begun = Instant::now();
    world.ends(&["run", "cancel", &id], 0);
    world.ends(&["run", "logs", &id, "--follow"], 3);
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    assert_eq!(world.run(&id)["state"], "canceled");
    let state = world.ends(&["state", "pull", "-w", "demo"], 0);
    assert!(state.contains("\"first\"") && !state.contains("\"last\""), "{state}");
    world.wait_for_wipe();
    // The lock is free, and what was made is known.
    let said = world.apply(&world.configuration(&mirror.main("1s")), 0);
    assert!(!said.contains("terraform_data.first: Creating"), "{said}");
}

#[test]
fn a_canceled_plan_ends_at_once_and_frees_the_workspace() {
    let Some(world) = World::with(Setup { agent: &["--step-grace", "2s"], ..Setup::default() }) else { return };
    // Who asks there waits for ever.
    let silence = TcpListener::bind("127.0.0.1:0").unwrap();
    let main = format!(
        "data \"terraform_remote_state\" \"r\" {{\n  backend = \"http\"\n  config = {{ address = \"http://{}\" }}\n}}\n",
        silence.local_addr().unwrap()
    );
    let id = world.begin(&world.configuration(&main), &[]);
    world.wait_for_step(&id, "plan");
    thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    world.ends(&["run", "cancel", &id], 0);
    world.wait_for_state(&id, "canceled");
    assert!(begun.elapsed() < Duration::from_secs(45), "{:?}", begun.elapsed());
    world.wait_for_wipe();
    world.apply(&world.configuration(PLAIN), 0);
}

#[test]
fn a_canceled_plan_that_waits_is_never_applied() {
    let Some(world) = World::start() else { return };
    let id = world.plans(&world.configuration(PLAIN));
    world.ends(&["run", "cancel", &id], 0);
    assert_eq!(world.run(&id)["state"], "canceled");
    world.ends(&["run", "approve", &id], 1);
    world.apply(&world.configuration(PLAIN), 0);
}

#[test]
fn a_second_run_of_a_workspace_waits_until_the_first_is_decided() {
    let Some(world) = World::start() else { return };
    let first = world.plans(&world.configuration(PLAIN));
    let second = world.begin(&world.configuration(PLAIN), &[]);
    assert_eq!(world.run(&second)["state"], "pending");
    world.ends(&["run", "discard", &first], 0);
    world.wait_for_state(&second, "awaiting_approval");
}
