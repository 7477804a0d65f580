//! Credentials that stay for plan and apply: a provider that pulls from a registry, where a workspace wants it and an
//! integration permits it.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use serde_json::Value;
use support::require;

use super::PLAIN;
use super::provider::{Hostile, hits};
use super::scene::{Beginning, Scene};
use super::shelf::{REPOSITORY, Shelf};
use super::world::{Setup, World};

/// The switch of an integration that permits it.
const PERMITTED: [&str; 1] = ["--permit-whole-run"];

/// The registry's manifest, by whatever asks.
fn address(shelf: &Shelf) -> String {
    format!("https://{}/v2/{REPOSITORY}/manifests/1.0.0", shelf.host())
}

/// `plan` or `apply`, the proxy's port if there was one, and what became of fetching that address.
fn told(report: &Path, address: &str) -> (String, Option<u16>, String) {
    let text = String::from_utf8_lossy(&std::fs::read(report).unwrap()).into_owned();
    let after = |mark: &str| text.split_once(mark).map(|(_, rest)| rest.lines().next().unwrap().trim().to_owned());
    let moment = after("=== moment ").unwrap().split(' ').next().unwrap().to_owned();
    let port = after("own environment HTTPS_PROXY=").map(|proxy| proxy.rsplit(':').next().unwrap().parse().unwrap());
    (moment, port, after(&format!("fetch {address}: ")).unwrap())
}

/// A workspace that wants it, and a registry whose integration has these switches besides; `more` are the agent's.
fn start(hostile: &Hostile, switches: &[&str], more: &[&str]) -> Option<Scene> {
    let stored = [&["--export"], switches].concat();
    let scene =
        Beginning { stored: Some(&stored), agent: more, ..Beginning::default() }.begin(|_| hostile.settings())?;
    scene.world.ends(&["workspace", "create", "demo", "--whole-run"], 0);
    Some(scene)
}

/// Nothing of what was lent is left: neither in a report nor on a port.
fn assert_over(world: &World, reports: &[PathBuf], address: &str) {
    for report in reports {
        assert_eq!(hits(&world.canaries, report), 0, "a credential was in reach");
        if let (moment, Some(port), _) = told(report, address) {
            assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the broker of {moment} is still open");
        }
    }
}

fn receipt(world: &World, id: &str, phase: &str) -> Option<Value> {
    let run = world.run(id);
    run["receipts"].as_array().unwrap().iter().find(|receipt| receipt["phase"] == phase).cloned()
}

#[test]
fn a_provider_pulls_at_plan_and_apply_and_never_sees_the_credential() {
    // Any process of an ordinary user, this test too, could be read by another of that user.
    if !require::root() {
        return;
    }
    let Some(mut hostile) = Hostile::start() else { return };
    let Some(Scene { world, shelf, operator: _operator }) = start(&hostile, &PERMITTED, &[]) else { return };
    let (address, runs) = (address(&shelf), world.stack.run_root());
    let main = format!("{}{}", shelf.main(), hostile.resource(&[&runs], std::slice::from_ref(&address)));
    world.apply(&world.configuration(&main), 0);
    let reports = hostile.reports();
    let moments: Vec<_> = reports.iter().map(|report| told(report, &address)).collect();
    for wanted in ["plan", "apply"] {
        assert!(moments.iter().any(|(moment, ..)| moment == wanted), "{moments:?}");
    }
    assert!(moments.iter().all(|(_, port, fetched)| port.is_some() && fetched == "status 200"), "{moments:?}");
    assert_over(&world, &reports, &address);
    let id = world.newest();
    for phase in ["plan", "apply"] {
        let receipt = receipt(&world, &id, phase).unwrap();
        let lent = &receipt["whole_run"];
        assert_eq!((&lent["until"], &lent["hosts"][0]), (&phase.into(), &shelf.host().into()), "{receipt:#}");
        assert_eq!(lent["used"][0]["integrations"][0], "demo", "{receipt:#}");
        assert!(lent["used"][0]["requests"].as_u64() >= Some(1), "{receipt:#}");
        assert!(lent["ended_at"].as_i64() >= lent["began_at"].as_i64(), "{receipt:#}");
    }
    let shown = world.ends(&["run", "show", &id], 0);
    assert!(shown.contains("(for the step plan)") && shown.contains("(for the step apply)"), "{shown}");
    // One claim, one release.
    assert_eq!(world.audited("registry_integration:release").len(), 1);
}

#[test]
fn without_the_integrations_permit_or_the_workspaces_wish_nothing_stays() {
    if !require::root() {
        return;
    }
    for (permit, wish) in [(false, true), (true, false)] {
        let Some(mut hostile) = Hostile::start() else { return };
        let switches: &[&str] = if permit { &PERMITTED } else { &[] };
        let Some(Scene { world, shelf, operator: _operator }) = start(&hostile, switches, &[]) else { return };
        world.ends(&["workspace", "update", "demo", if wish { "--whole-run=true" } else { "--whole-run=false" }], 0);
        let address = address(&shelf);
        let main = format!("{}{}", shelf.main(), hostile.resource(&[], std::slice::from_ref(&address)));
        world.apply(&world.configuration(&main), 0);
        let reports = hostile.reports();
        let moments: Vec<_> = reports.iter().map(|report| told(report, &address)).collect();
        assert!(!moments.is_empty());
        for (_, port, fetched) in &moments {
            assert!(port.is_none() && !fetched.contains("status 200"), "{moments:?}");
        }
        let receipt = receipt(&world, &world.newest(), "plan").unwrap();
        assert!(receipt["whole_run"].is_null(), "{receipt:#}");
        assert_eq!(receipt["notes"].to_string().contains("--permit-whole-run"), wish, "{receipt:#}");
    }
}

#[test]
fn of_two_registries_only_the_one_that_permits_it_is_reached_after_the_fetch_step() {
    if !require::root() {
        return;
    }
    let Some(mut hostile) = Hostile::start() else { return };
    let Some(Scene { world, shelf, operator: _operator }) = start(&hostile, &PERMITTED, &[]) else { return };
    let Some(other) = Shelf::start_far(&world.canaries[1].password) else { return };
    other.add(&world, "goes", &["--export"]).succeeded().unwrap();
    let addresses = [address(&shelf), address(&other)];
    let modules = [("a", shelf.source(REPOSITORY)), ("b", other.source(REPOSITORY))];
    let main = format!("{}{}", super::with_modules(&modules), hostile.resource(&[], &addresses));
    world.apply(&world.configuration(&main), 0);
    let reports = hostile.reports();
    for report in &reports {
        assert_eq!(told(report, &addresses[0]).2, "status 200");
        assert!(!told(report, &addresses[1]).2.contains("status 200"), "{:?}", told(report, &addresses[1]));
    }
    assert_over(&world, &reports, &addresses[0]);
}

#[test]
fn an_apply_by_another_agent_is_released_its_own_and_the_audit_log_says_so() {
    if !require::root() {
        return;
    }
    let Some(mut hostile) = Hostile::start() else { return };
    let Some(Scene { mut world, shelf, operator }) = start(&hostile, &PERMITTED, &[]) else { return };
    let Some(other) = Shelf::start_far(&world.canaries[1].password) else { return };
    other.add(&world, "other", &["--export"]).succeeded().unwrap();
    let address = address(&shelf);
    let main = format!("{}{}", shelf.main(), hostile.resource(&[], std::slice::from_ref(&address)));
    let id = world.plans(&world.configuration(&main));
    world.stack.agent().unwrap().stop().unwrap();
    let second = world.another_agent("second", &["--cli-config", &operator.file(), "--sandbox", "process"]);
    world.ends(&["run", "approve", &id, "--follow"], 0);
    let reports = hostile.reports();
    let applied: Vec<_> =
        reports.iter().map(|report| told(report, &address)).filter(|(moment, ..)| moment == "apply").collect();
    assert!(!applied.is_empty() && applied.iter().all(|(_, _, fetched)| fetched == "status 200"), "{applied:?}");
    assert_over(&world, &reports, &address);
    let releases = world.audited("registry_integration:release");
    let of = |phase: &str| {
        let record = releases.iter().find(|record| record["particulars"]["phase"] == phase).unwrap();
        record["particulars"]["released"].as_array().unwrap().clone()
    };
    assert_eq!(releases.len(), 2, "{releases:#?}");
    assert_eq!((of("plan").len(), of("apply").len()), (2, 1), "{releases:#?}");
    assert_eq!(of("apply")[0]["whole_run"], true, "{releases:#?}");
    let receipt = receipt(&world, &id, "apply").unwrap();
    assert_eq!(
        (&receipt["delivery"], &receipt["whole_run"]["until"]),
        (&"broker".into(), &"apply".into()),
        "{receipt:#}"
    );
    assert!(receipt["meaning"].as_str().unwrap().contains("any process of the same user"), "{receipt:#}");
    world.wait_for_wipe();
    drop(second);
}

#[test]
fn a_delivery_that_cannot_do_it_is_named_in_the_receipt() {
    for (agent, said) in [
        (&["--delivery", "helper"][..], "the delivery `helper` cannot do it"),
        // The registry is on loopback, where no proxy leads.
        (&[][..], "no registry integration that a proxy can serve permits it"),
    ] {
        let Some(world) = World::with(Setup { agent, ..Setup::default() }) else { return };
        let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
        world.ends(&["workspace", "create", "demo", "--whole-run"], 0);
        shelf.add(&world, "demo", &["--export", "--permit-whole-run"]).succeeded().unwrap();
        world.apply(&world.configuration(&format!("{}{PLAIN}", shelf.main())), 0);
        let receipt = receipt(&world, &world.newest(), "plan").unwrap();
        assert!(receipt["notes"].to_string().contains(said), "{receipt:#}");
        assert!(receipt["whole_run"].is_null(), "{receipt:#}");
    }
}

#[test]
fn an_apply_that_is_killed_closes_the_broker_and_says_so() {
    let Some(mut hostile) = Hostile::start() else { return };
    let Some(Scene { world, shelf, operator: _operator }) = start(&hostile, &PERMITTED, &[]) else { return };
    let address = address(&shelf);
    let wait = "resource \"terraform_data\" \"wait\" {\n  depends_on = [hostile_look.it]\n  provisioner \"local-exec\" {\n    \
                command = \"sleep 600\"\n  }\n}\n";
    let main = format!("{}{wait}", hostile.resource(&[], std::slice::from_ref(&address)));
    let id = world.begin(&world.configuration(&main), &["--auto-approve"]);
    world.wait_for_step(&id, "apply");
    world.ends(&["run", "cancel", &id, "--kill"], 0);
    world.wait(&id, "the end", |run| run["state"] == "canceled" || run["state"] == "errored");
    let reports = hostile.reports();
    assert!(!reports.is_empty());
    let receipt = receipt(&world, &id, "apply").unwrap();
    assert_eq!(receipt["whole_run"]["until"], "apply", "{receipt:#}");
    assert!(receipt["end"] == "killed", "{receipt:#}");
    for report in &reports {
        let (_, port, _) = told(report, &address);
        assert!(TcpStream::connect(("127.0.0.1", port.unwrap())).is_err(), "still open");
    }
}

#[test]
fn when_the_agent_is_killed_in_an_apply_nobody_is_served_any_more_and_nothing_is_left() {
    let Some(mut hostile) = Hostile::start() else { return };
    let Some(Scene { mut world, shelf, operator }) = start(&hostile, &PERMITTED, &["--apply-grace", "2s"]) else {
        return;
    };
    let address = address(&shelf);
    let wait = "resource \"terraform_data\" \"wait\" {\n  depends_on = [hostile_look.it]\n  provisioner \"local-exec\" {\n    \
                command = \"sleep 3\"\n  }\n}\n";
    let main = format!("{}{wait}", hostile.resource(&[], std::slice::from_ref(&address)));
    let id = world.begin(&world.configuration(&main), &["--auto-approve"]);
    world.wait_for_step(&id, "apply");
    world.stack.agent().unwrap().kill().unwrap();
    world.stack.start_agent(&["--cli-config", &operator.file()]).unwrap();
    world.wait(&id, "the end", |run| ["errored", "applied", "lost"].iter().any(|state| run["state"] == *state));
    world.wait_for_wipe();
    let reports = hostile.reports();
    assert!(!reports.is_empty());
    for report in &reports {
        let (_, port, _) = told(report, &address);
        assert!(TcpStream::connect(("127.0.0.1", port.unwrap())).is_err(), "still open");
    }
    let has_receipt = |run: &Value| run["receipts"].to_string().contains("\"phase\":\"apply\"");
    world.wait(&id, "the receipt of the apply", has_receipt);
    let receipt = receipt(&world, &id, "apply").unwrap();
    assert_eq!((&receipt["end"], &receipt["wiped"]), (&"swept".into(), &true.into()), "{receipt:#}");
    let lent = &receipt["whole_run"];
    assert_eq!((&lent["until"], &lent["hosts"][0]), (&"apply".into(), &shelf.host().into()), "{receipt:#}");
    assert!(lent["notes"].to_string().contains("the agent died during the step"), "{receipt:#}");
}
