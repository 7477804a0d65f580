//! What must stay as it is whatever happens between plan and apply, or in the middle of one: A16, A17, A18.

use std::thread;
use std::time::Duration;

use support::module::Package;

use super::stage::{Delivery, Stage};
use super::{Observed, Outcome};
use crate::e2e::PLAIN;
use crate::e2e::shelf::REPOSITORY;

/// Makes one thing, and takes its time over another.
const SLOW: &str = "resource \"terraform_data\" \"made\" {}\nresource \"terraform_data\" \"slow\" {\n  depends_on = \
                    [terraform_data.made]\n  provisioner \"local-exec\" {\n    command = \"sleep 2\"\n  }\n}\n";

/// The agent is killed in the middle of an apply; the next one brings the state in.
fn killed(stage: &mut Stage, workspace: &str) {
    let directory = stage.configuration(&[("main.tf", SLOW.to_owned())]).display().to_string();
    let said = stage.world.ends(&["apply", &directory, "-w", workspace, "--create", "--detach", "--auto-approve"], 0);
    let start = said.find("run-").unwrap();
    let id = said[start..start + 36].to_owned();
    stage.world.wait_for_step(&id, "apply");
    thread::sleep(Duration::from_millis(500));
    stage.agent().kill().unwrap();
    assert!(stage.start_agent(&[]));
    stage.world.wait(&id, "the end", |run| ["errored", "applied"].iter().any(|state| run["state"] == *state));
    let pulled = stage.world.ends(&["state", "pull", "-w", workspace], 0);
    assert!(pulled.contains("\"made\""), "{pulled}");
    stage.wait_for_wipe();
}

/// A plan waits; the module changes in the registry; only an agent with the run's own path applies it, and what it
/// applies is what was planned.
fn approved(stage: &mut Stage, delivery: Delivery, module: &str) {
    let workspace = &format!("{}-approved", delivery.name());
    let directory = stage.configuration(&[("main.tf", format!("{module}{PLAIN}"))]).display().to_string();
    let said = stage.world.ends(&["apply", &directory, "-w", workspace, "--create", "--detach"], 0);
    let start = said.find("run-").unwrap();
    let id = said[start..start + 36].to_owned();
    stage.world.wait_for_state(&id, "awaiting_approval");
    // A17: nothing of it is on the host any more, and the registry has something else.
    stage.wait_for_wipe();
    let other = "variable \"name\" {}\nresource \"terraform_data\" \"greeting\" {\n  input = \"CHANGED\"\n}\noutput \"text\" {\n  \
                 value = terraform_data.greeting.output\n}\n";
    stage.shelf(delivery).registry.push(REPOSITORY, "1.0.0", &Package::new(&[("main.tf", other)])).unwrap();
    // A18.
    stage.agent().stop().unwrap();
    let elsewhere = stage.path("elsewhere").display().to_string();
    assert!(stage.start_agent(&["--run-root", &elsewhere]));
    stage.world.ends(&["run", "approve", &id], 0);
    let runs = stage.path("runs").display().to_string();
    let shown = stage.world.wait(&id, "what the run waits for", |run| {
        run["state"] == "apply_queued" && run["waits_for"].as_str().is_some_and(|text| text.contains(&runs))
    });
    assert!(!shown["steps"].to_string().contains("\"phase\":\"apply\""), "{shown:#}");
    stage.agent().stop().unwrap();
    assert!(stage.start_agent(&[]));
    stage.world.wait_for_state(&id, "applied");
    let pulled = stage.world.ends(&["state", "pull", "-w", workspace], 0);
    assert!(pulled.contains("hello, greeting") && !pulled.contains("CHANGED"), "{pulled}");
    stage.shelf(delivery).registry.push(REPOSITORY, "1.0.0", &Package::greeting()).unwrap();
}

/// Tried with the delivery that is at work now.
pub(super) fn run(stage: &mut Stage, delivery: Delivery, module: &str, observed: &mut Observed) {
    killed(stage, &format!("{}-killed", delivery.name()));
    observed.add("A16", delivery, Outcome::Kept);
    approved(stage, delivery, module);
    observed.add("A17", delivery, Outcome::Kept);
    observed.add("A18", delivery, Outcome::Kept);
}
