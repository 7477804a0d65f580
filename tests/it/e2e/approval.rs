//! A plan waits for a person, and what was approved is what is applied, by whoever has the claim.

use support::module::Package;

use super::meddler::Meddler;
use super::shelf::{REPOSITORY, Shelf};
use super::{PLAIN, World, with_modules, write};

#[test]
fn without_a_terminal_a_plan_waits_and_says_what_it_would_do() {
    let Some(world) = World::start() else { return };
    let directory = world.configuration(PLAIN).display().to_string();
    // 4: changes that were not applied.
    let said = world.ends(&["apply", &directory, "-w", "demo", "--create"], 4);
    let id = world.newest();
    assert!(said.contains(&format!("nigari run approve {id}")), "{said}");
    let shown = world.run(&id);
    assert_eq!((&shown["state"], &shown["plan"]["add"]), (&"awaiting_approval".into(), &1.into()), "{shown:#}");
    let digest = shown["artifact_digest"].as_str().unwrap();
    assert_eq!(digest.len(), 64);
    let text = world.ends(&["run", "show", &id], 0);
    assert!(text.contains("1 to add, 0 to change, 0 to destroy") && text.contains(digest), "{text}");
    world.wait_for_wipe();
}

#[test]
fn only_the_digest_that_waits_can_be_approved() {
    let Some(world) = World::start() else { return };
    let id = world.plans(&world.configuration(PLAIN));
    let digest = world.run(&id)["artifact_digest"].as_str().unwrap().to_owned();
    let flipped = if digest.starts_with('0') { "1" } else { "0" }.to_owned() + &digest[1..];
    let said = world.ends(&["run", "approve", &id, "--digest", &flipped], 1);
    assert!(said.contains("hint:"), "{said}");
    assert_eq!(world.run(&id)["state"], "awaiting_approval");
    world.ends(&["run", "approve", &id, "--digest", &digest, "--follow"], 0);
    assert_eq!(world.run(&id)["state"], "applied");
}

#[test]
fn another_agent_applies_what_was_approved_while_the_registry_is_down() {
    let Some(mut world) = World::start() else { return };
    let Some(mut shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let id = world.plans(&world.configuration(&shelf.main()));
    shelf.registry.stop().unwrap();
    world.stack.agent().unwrap().stop().unwrap();
    let second = world.another_agent("second", &[]);
    let said = world.ends(&["run", "approve", &id, "--follow"], 0);
    assert!(said.contains("greeting = \"hello, greeting\""), "{said}");
    let shown = world.run(&id);
    assert_eq!((&shown["state"], &shown["agent_name"]), (&"applied".into(), &"second".into()), "{shown:#}");
    let state = world.ends(&["state", "pull", "-w", "demo"], 0);
    assert!(state.contains("module.greeting") && state.contains("hello, greeting"), "{state}");
    // The one delivery was the plan's.
    assert_eq!(world.audited("registry_integration:release").len(), 1);
    world.wait_for_wipe();
    drop(second);
}

#[test]
fn what_changes_after_the_plan_changes_nothing_of_the_apply() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&format!(
        "{}module \"here\" {{\n  source = \"./here\"\n}}\noutput \"here\" {{\n  value = module.here.text\n}}\n",
        shelf.main()
    ));
    let here = |text: &str| {
        let resource = format!("resource \"terraform_data\" \"h\" {{\n  input = \"{text}\"\n}}\n");
        let output = "output \"text\" {\n  value = terraform_data.h.output\n}\n";
        write(&directory.join("here/main.tf"), &format!("{resource}{output}"));
    };
    here("as planned");
    let id = world.plans(&directory);
    here("changed behind the plan");
    write(&directory.join("more.tf"), "resource \"terraform_data\" \"more\" {}\n");
    let other = Package::new(&[("main.tf", "variable \"name\" {}\noutput \"text\" {\n  value = \"other\"\n}\n")]);
    shelf.registry.push(REPOSITORY, "1.0.0", &other).unwrap();
    world.ends(&["variable", "set", "-w", "demo", "--kind", "env", "TF_VAR_late", "x"], 0);
    let said = world.ends(&["run", "approve", &id, "--follow"], 0);
    assert!(said.contains("here = \"as planned\"") && said.contains("\"hello, greeting\""), "{said}");
    assert!(said.contains("2 added"), "{said}");
}

#[test]
fn an_artifact_that_is_not_what_was_approved_is_not_applied() {
    let Some(mut world) = World::start() else { return };
    let id = world.plans(&world.configuration(PLAIN));
    world.stack.agent().unwrap().stop().unwrap();
    let meddler = Meddler::between(world.stack.url(), "/artifact");
    world.stack.start_agent(&["--server", &meddler.url()]).unwrap();
    let said = world.ends(&["run", "approve", &id, "--follow"], 1);
    assert!(meddler.has_meddled());
    assert!(said.contains("was approved"), "{said}");
    let shown = world.run(&id);
    assert_eq!(shown["state"], "errored");
    assert!(!shown["steps"].to_string().contains("\"step\":\"apply\""), "{shown:#}");
    // Nothing was made, and the workspace is free.
    world.ends(&["state", "pull", "-w", "demo"], 1);
}

#[test]
fn an_agent_with_another_run_root_leaves_the_run_to_others_and_people_can_see_why() {
    let Some(mut world) = World::start() else { return };
    let id = world.plans(&world.configuration(PLAIN));
    world.stack.agent().unwrap().stop().unwrap();
    let elsewhere = world.path("elsewhere").display().to_string();
    let mut second = world.another_agent("second", &["--run-root", &elsewhere]);
    world.ends(&["run", "approve", &id], 0);
    // Offered to nobody who would give it back: an agent of that pool is there and asks, and does not get it.
    second.wait_for_line("session opened", std::time::Duration::from_secs(30)).unwrap();
    let root = world.stack.run_root().display().to_string();
    let shown = world.wait(&id, "what the run waits for", |run| {
        run["state"] == "apply_queued" && run["waits_for"].as_str().is_some_and(|text| text.contains(&root))
    });
    assert!(!second.log().contains("a claim is given back"), "{}", second.log());
    assert!(!shown["steps"].to_string().contains("\"phase\":\"apply\""), "{shown:#}");
    let text = world.ends(&["run", "show", &id], 0);
    let path = world.stack.run_root().join(&id).display().to_string();
    assert!(text.contains(&path), "who looks at the run does not learn where it has to be applied:\n{text}");
    second.stop().unwrap();
    world.stack.start_agent(&[]).unwrap();
    world.wait_for_state(&id, "applied");
}

#[test]
fn a_discarded_plan_is_never_applied_and_frees_the_workspace() {
    let Some(world) = World::start() else { return };
    let id = world.plans(&world.configuration(PLAIN));
    world.ends(&["run", "discard", &id], 0);
    let said = world.ends(&["run", "approve", &id], 1);
    assert!(said.contains("discarded"), "{said}");
    assert_eq!(world.run(&id)["state"], "discarded");
    world.apply(&world.configuration(PLAIN), 0);
}

#[test]
fn a_workspace_that_applies_by_itself_asks_nobody() {
    let Some(world) = World::start() else { return };
    world.ends(&["workspace", "create", "demo", "--auto-apply"], 0);
    let directory = world.configuration(PLAIN).display().to_string();
    let said = world.ends(&["apply", &directory, "-w", "demo"], 0);
    assert!(said.contains("Apply complete!"), "{said}");
    assert_eq!(world.run(&world.newest())["state"], "applied");
}

#[test]
fn two_fetches_of_two_runs_are_two_deliveries() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&with_modules(&[("a", shelf.source(REPOSITORY))]));
    world.apply(&directory, 0);
    world.apply(&directory, 0);
    let records = world.audited("registry_integration:release");
    assert_eq!(records.len(), 2, "{records:#?}");
}

#[test]
fn a_plan_alone_does_not_wait_for_the_one_that_waits() {
    let Some(world) = World::start() else { return };
    let waiting = world.plans(&world.configuration(PLAIN));
    let directory = world.configuration(PLAIN).display().to_string();
    let said = world.ends(&["plan", &directory, "-w", "demo", "--detailed-exitcode"], 4);
    assert!(said.contains("1 to add"), "{said}");
    let said = world.ends(&["run", "approve", &world.newest()], 1);
    assert!(said.contains("plan_finished"), "{said}");
    world.ends(&["run", "approve", &waiting, "--follow"], 0);
    world.ends(&["plan", &directory, "-w", "demo", "--detailed-exitcode"], 0);
}
