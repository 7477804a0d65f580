//! Where the state goes: ours, the configuration's own, or nowhere; and a state that was there before.

use std::fs;

use support::child::{command, run};
use support::require;

use super::recorder::Recorder;
use super::world::{Setup, World};
use super::{PLAIN, write};

/// Runs one configuration to its failing end; gives what was said, and what `init` was given.
fn kept(backend: &str) -> Option<(World, String, Recorder)> {
    let recorder = Recorder::start()?;
    let tofu = recorder.program();
    let world = World::with(Setup { tofu: Some(&tofu), ..Setup::default() })?;
    let said = world.apply(&world.configuration(&format!("terraform {{\n{backend}\n}}\n{PLAIN}")), 1);
    Some((world, said, recorder))
}

/// Nothing of ours was in its way, and the error is tofu's own.
fn is_left_alone(name: &str, (world, said, recorder): (World, String, Recorder)) {
    assert!(said.contains("Error: ") && !said.contains("nigari_override"), "{said}");
    for command in ["init", "plan"] {
        for start in recorder.starts(command) {
            let ours = start.environment.iter().find(|entry| entry.starts_with("TF_HTTP_"));
            assert_eq!(ours, None, "{command}");
        }
    }
    assert!(!recorder.starts("init").is_empty());
    let id = world.newest();
    assert_eq!(world.run(&id)["backend"], name);
    let text = world.ends(&["run", "show", &id], 0);
    assert!(text.contains("keeps its state itself"), "{text}");
    world.ends(&["state", "pull", "-w", "demo"], 1);
    world.wait_for_wipe();
}

#[test]
fn an_http_backend_with_arguments_is_kept() {
    let backend = "  backend \"http\" {\n    address   = \"http://127.0.0.1:1/state\"\n    retry_max = 0\n  }";
    let Some(seen) = kept(backend) else { return };
    assert!(seen.1.contains("connection refused"), "{}", seen.1);
    is_left_alone("http", seen);
}

#[test]
fn a_cloud_block_is_kept() {
    let cloud = "  cloud {\n    hostname     = \"localhost:1\"\n    organization = \"o\"\n    workspaces {\n      name = \
                 \"w\"\n    }\n  }";
    let Some(seen) = kept(cloud) else { return };
    is_left_alone("cloud", seen);
}

#[test]
fn an_s3_backend_is_kept() {
    let s3 = "  backend \"s3\" {\n    bucket                      = \"b\"\n    key                         = \"k\"\n    \
              region                      = \"eu-central-1\"\n    access_key                  = \"none\"\n    secret_key \
              = \"none\"\n    skip_credentials_validation = true\n    skip_requesting_account_id  = true\n    \
              skip_metadata_api_check     = true\n    max_retries                 = 1\n    endpoints = {\n      s3 = \
              \"http://127.0.0.1:1\"\n    }\n  }";
    let Some(seen) = kept(s3) else { return };
    is_left_alone("s3", seen);
}

#[test]
fn local_and_inmem_are_refused_before_tofu_starts() {
    for kind in ["local", "inmem"] {
        let Some(recorder) = Recorder::start() else { return };
        let tofu = recorder.program();
        let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
        let main = format!("terraform {{\n  backend \"{kind}\" {{}}\n}}\n{PLAIN}");
        let said = world.apply(&world.configuration(&main), 1);
        assert!(said.contains(kind) && said.contains("hint: ") && said.contains("nigari state push"), "{said}");
        assert!(recorder.starts("init").is_empty() && recorder.starts("plan").is_empty());
    }
}

#[test]
fn an_uploaded_override_never_takes_the_state_away_unseen() {
    for (name, text) in [
        ("zz_override.tf", "terraform {\n  backend \"local\" {}\n}\n"),
        ("aa_override.tofu", "terraform {\n  backend \"local\" {}\n}\n"),
        ("override.tf.json", "{\"terraform\": {\"backend\": {\"local\": {\"path\": \"/tmp/stolen.tfstate\"}}}}"),
        ("override.tofu", "terraform {\n  backend \"inmem\" {}\n}\n"),
    ] {
        let Some(recorder) = Recorder::start() else { return };
        let tofu = recorder.program();
        let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
        let directory = world.configuration(PLAIN);
        write(&directory.join(name), text);
        let said = world.apply(&directory, 1);
        assert!(recorder.starts("plan").is_empty(), "{name}: {said}");
        assert!(said.contains("hint: "), "{name}: {said}");
    }
}

#[test]
fn an_override_with_a_backend_that_keeps_its_state_is_that_backend() {
    let Some(recorder) = Recorder::start() else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let directory = world.configuration(PLAIN);
    let text =
        "terraform {\n  backend \"http\" {\n    address   = \"http://127.0.0.1:1/s\"\n    retry_max = 0\n  }\n}\n";
    write(&directory.join("zz_override.tf"), text);
    let said = world.apply(&directory, 1);
    is_left_alone("http", (world, said, recorder));
}

#[test]
fn a_state_that_real_tofu_made_is_taken_over_and_nothing_is_made_twice() {
    let Some(world) = World::start() else { return };
    let Some(real) = require::tofu() else { return };
    let directory = world.configuration(PLAIN);
    for arguments in [&["init"][..], &["apply", "-auto-approve"]] {
        let mut tofu = command(&real);
        tofu.args(arguments).current_dir(&directory).env("HOME", world.place.path());
        run(tofu).unwrap().succeeded().unwrap();
    }
    let state = directory.join("terraform.tfstate").display().to_string();
    let said = world.apply(&directory, 1);
    assert!(said.contains(&format!("nigari state push -w demo {state}")), "{said}");
    assert!(world.audited("configuration:upload").is_empty());
    world.ends(&["state", "push", "-w", "demo", &state], 0);
    let said = world.apply(&directory, 0);
    assert!(said.contains("No changes"), "{said}");
    // Once it is there, a state that was left beside the configuration is in nobody's way.
    fs::write(&state, "{}").unwrap();
    world.apply(&directory, 0);
    assert!(world.ends(&["state", "list", "-w", "demo"], 0).contains('1'));
}

#[test]
fn the_state_survives_agent_and_server() {
    let Some(mut world) = World::start() else { return };
    world.apply(&world.configuration(PLAIN), 0);
    let before = world.ends(&["state", "pull", "-w", "demo"], 0);
    world.stack.stop().unwrap();
    world.stack.start_server(&[]).unwrap();
    world.stack.start_agent(&[]).unwrap();
    assert_eq!(world.ends(&["state", "pull", "-w", "demo"], 0), before);
    assert!(world.apply(&world.configuration(PLAIN), 0).contains("No changes"));
}
