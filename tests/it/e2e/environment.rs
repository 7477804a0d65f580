//! What of the host and of a workspace reaches a run's processes: the whole list of names that must not, and that it
//! has no effect to try.

use std::process::Command;

use support::child::{command, run};
use support::require;

use super::recorder::{Recorder, Start};
use super::shelf::Shelf;
use super::world::{Setup, World};
use super::{PLAIN, write};
use crate::refused_names::{REFUSED, is_after_fetch};

const OUTSIDE: &str = "set-outside-of-nigari";

/// The agent itself talks to its server by these.
fn is_proxy(name: &str) -> bool {
    name.to_ascii_uppercase().ends_with("_PROXY")
}

#[test]
fn the_hosts_environment_reaches_no_step_but_by_name_and_never_by_a_refused_one() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() }) else {
        return;
    };
    // Without these the agent itself would not run, or tofu would find no cache.
    let is_needed = |name: &str| matches!(name, "PATH" | "HOME" | "TF_PLUGIN_CACHE_DIR") || name.starts_with("NIGARI_");
    let on_host = |name: &&str| !is_proxy(name) && !is_needed(name);
    let names: Vec<&str> = REFUSED.iter().map(|(name, _)| *name).filter(on_host).collect();
    let mut host: Vec<(&str, &str)> = names.iter().map(|name| (*name, OUTSIDE)).collect();
    host.extend([("AWS_REGION", OUTSIDE), ("UNASKED", OUTSIDE)]);
    // Every name there is: a careless operator's pattern.
    let patterns =
        names.iter().map(|name| format!("{name}*")).chain(["AWS_*".to_owned()]).collect::<Vec<_>>().join(",");
    let agent = world.another_agent_with("open", &["--pass-env", &patterns], &host);
    world.apply(&world.configuration(PLAIN), 0);
    for step in ["get", "init", "plan", "show", "apply"] {
        let start = recorder.only(step);
        assert_eq!(start.variable("AWS_REGION"), Some(OUTSIDE), "{step}");
        assert_eq!(start.variable("UNASKED"), None, "{step}");
        for (name, is_operators) in REFUSED.iter().filter(|(name, _)| names.contains(name)) {
            let passes = *is_operators && (step != "get" || !is_after_fetch(name));
            let given = start.variable(name) == Some(OUTSIDE);
            // What nigari sets itself wins even over what an operator may pass.
            assert!(given == passes || passes && start.variable(name).is_some(), "{step}: {name} {given} {passes}");
        }
    }
    let log = agent.log();
    assert!(log.contains("not passed to runs") && log.contains("LD_PRELOAD"), "{log}");
}

#[test]
fn no_name_of_the_list_can_be_a_variable_of_a_workspace() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    world.ends(&["workspace", "create", "demo"], 0);
    for (name, _) in REFUSED {
        let said = world.types(&["variable", "set", "-w", "demo", "--kind", "env", name, "x"]);
        assert_eq!(said.code, Some(1), "{name}: {}", said.all());
        assert!(said.all().contains("hint: "), "{name}: {}", said.all());
    }
    assert_eq!(world.stack.json(&["variable", "list", "-w", "demo", "--json"]).unwrap(), serde_json::json!([]));
}

/// A library that leaves a mark when it is loaded.
fn mark_library(directory: &std::path::Path) -> Option<std::path::PathBuf> {
    let compiler = require::program("cc")?;
    let (source, library) = (directory.join("mark.c"), directory.join("mark.so"));
    write(
        &source,
        "#include <fcntl.h>\n#include <stdlib.h>\n__attribute__((constructor)) static void load(void) {\n  const char *at = \
         getenv(\"MARK\");\n  if (at) close(open(at, O_CREAT | O_WRONLY, 0600));\n}\n",
    );
    let mut cc: Command = command(compiler);
    cc.args(["-shared", "-fPIC", "-Wno-implicit-function-declaration", "-o"]).arg(&library).arg(&source);
    run(cc).unwrap().succeeded().unwrap();
    Some(library)
}

#[test]
fn a_library_that_the_host_preloads_is_not_loaded_into_a_step() {
    let place = tempfile::tempdir().unwrap();
    let Some(library) = mark_library(place.path()) else { return };
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    let (library, mark) = (library.display().to_string(), place.path().join("mark"));
    let main =
        "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"/bin/true\"\n  }\n}\n";
    let marks = mark.display().to_string();
    // The control: with it, a program leaves the mark.
    let mut control = command("true");
    control.env("LD_PRELOAD", &library).env("MARK", &marks);
    run(control).unwrap().succeeded().unwrap();
    std::fs::remove_file(&mark).unwrap();
    let host = [("LD_PRELOAD", library.as_str()), ("MARK", marks.as_str())];
    let _agent = world.another_agent_with("loaded", &["--pass-env", "LD_*,MARK"], &host);
    // The agent itself is loaded so, which is its operator's business.
    while std::fs::remove_file(&mark).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    world.apply(&world.configuration(main), 0);
    assert!(!mark.exists(), "a step was loaded with the host's library");
}

/// A start's variables by name.
fn names(start: &Start) -> Vec<&str> {
    start.environment.iter().filter_map(|entry| entry.split('=').next()).collect()
}

#[test]
fn without_settings_nothing_of_the_host_is_passed_at_all() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), without_agent: true, ..Setup::default() }) else {
        return;
    };
    let host = [("AWS_REGION", OUTSIDE), ("SSH_AUTH_SOCK", OUTSIDE), ("TF_VAR_x", OUTSIDE), ("TF_LOG", OUTSIDE)];
    let _agent = world.another_agent_with("closed", &[], &host);
    world.apply(&world.configuration(PLAIN), 0);
    for step in ["get", "init", "plan", "show", "apply"] {
        let start = recorder.only(step);
        for (name, _) in host {
            assert!(!names(&start).contains(&name), "{step}: {name}");
        }
    }
}

#[test]
fn tofus_own_trace_tells_no_secret() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    world.ends(&["workspace", "create", "demo"], 0);
    world.ends(&["variable", "set", "-w", "demo", "--kind", "env", "TF_LOG", "trace"], 0);
    world.apply(&world.configuration(&shelf.main()), 0);
    // The search at the end has this too.
    let log = world.log(&world.newest());
    assert!(log.contains("[TRACE]") && log.contains(&shelf.host()), "the control: {}", log.len());
}
