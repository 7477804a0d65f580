//! The fetch step: what a run gets, what it does not get, and what is left of it.

use support::watch::Watch;

use super::{Scene, Shelf, assert_ended, found, receipt_of, wait_until};

#[test]
fn a_module_from_a_private_registry_comes_and_nothing_of_the_password_stays() {
    let (Some(shelf), Some(scene)) = (Shelf::start(), Scene::start()) else { return };
    let canaries = [shelf.canary.clone()];
    let watch = Watch::start(&canaries);
    shelf.store(&scene, "--export", &shelf.canary.password);
    let said = scene.apply(&scene.configuration(&shelf.main())).succeeded().unwrap();
    assert!(said.all().contains("hello, you"), "{}", said.all());
    let mut search = scene.stack.search(&canaries);
    search.bytes("what the command wrote", said.all().as_bytes());
    search.absorb(watch.finish().unwrap().search);
    search.verdict().unwrap();
    // The end of a phase is reported before its directories go.
    wait_until("the wipe", || scene.run_directories().is_empty() && scene.secrets().is_empty());
}

#[test]
fn without_export_the_fetch_step_fails_and_the_hint_names_the_integration() {
    let (Some(shelf), Some(scene)) = (Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--no-export", &shelf.canary.password);
    let said = scene.apply(&scene.configuration(&shelf.main()));
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.all().contains("Failed to download module"), "{}", said.all());
    let hint = said.all().lines().find(|line| line.contains("hint:")).unwrap_or_default().to_owned();
    assert!(hint.contains("demo") && hint.contains("--export"), "{hint}");
}

#[test]
fn a_wrong_password_is_told_from_a_missing_one() {
    let (Some(shelf), Some(scene)) = (Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--export", "not-the-password");
    let said = scene.apply(&scene.configuration(&shelf.main()));
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.all().contains("does not accept the user or the secret"), "{}", said.all());
}

#[test]
fn the_receipt_says_what_was_there_and_that_it_is_gone() {
    let (Some(shelf), Some(mut scene)) = (Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--export", &shelf.canary.password);
    let run = scene.begin(&scene.configuration(&shelf.main()), &["--auto-approve"]);
    let shown = scene.wait_for_state(&run, "applied");
    assert_eq!(found(&shown, "backend"), "nigari");
    let receipt = &shown["receipts"][0];
    assert_eq!(receipt["hosts"][0], shelf.registry.host(), "{receipt:#}");
    assert_eq!((&receipt["wiped"], &receipt["end"]), (&true.into(), &"step_over".into()), "{receipt:#}");
    assert!(receipt["modules"][0].as_str().unwrap().starts_with("greeting oci://"), "{receipt:#}");
    let meaning = receipt["meaning"].as_str().unwrap();
    assert!(meaning.contains("could not read it") && meaning.contains("tofu's memory"), "{meaning}");
}

#[test]
fn credentials_that_came_for_a_configuration_that_cannot_be_run_have_a_receipt() {
    let (Some(shelf), Some(mut scene)) = (Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--export", &shelf.canary.password);
    let main = format!("{}terraform {{\n  backend \"local\" {{}}\n}}\n", shelf.main());
    let run = scene.begin(&scene.configuration(&main), &[]);
    let shown = scene.wait_for_state(&run, "errored");
    assert_ended(&shown, 1, "never_began");
    let receipt = receipt_of(&shown, 1).unwrap();
    assert_eq!(receipt["hosts"][0], shelf.registry.host(), "{receipt:#}");
    assert!(receipt["verified_by"].as_str().unwrap().contains("no step began"), "{receipt:#}");
}

#[test]
fn git_reads_no_settings_of_a_home_and_starts_nothing_of_them() {
    let Some(mut scene) = Scene::start() else { return };
    let at = |name: &str| scene.place.path().join(name);
    let text = |name: &str| at(name).display().to_string();
    let git = |arguments: &[&str]| {
        let mut git = support::child::command("git");
        git.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_NOSYSTEM", "1");
        support::child::run(git).unwrap().succeeded().unwrap()
    };
    let repository = text("repository");
    git(&["init", "--quiet", "--initial-branch=main", &repository]);
    std::fs::write(at("repository/main.tf"), "output \"x\" {\n  value = \"from git\"\n}\n").unwrap();
    git(&["-C", &repository, "add", "."]);
    let who = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    git(&[&["-C", &repository][..], &who, &["commit", "--quiet", "-m", "x"]].concat());
    // What a home can hold: a hook that every clone gets, a program that is started in every repository.
    let hook = at("home/template/hooks/post-checkout");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, format!("#!/bin/sh\nenv > {}\n", text("home/hit"))).unwrap();
    std::fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let settings =
        format!("[init]\n  templateDir = {}\n[core]\n  fsmonitor = {0}/hooks/post-checkout\n", text("home/template"));
    std::fs::write(at("home/.gitconfig"), settings).unwrap();
    let home = text("home");
    scene.stack.agent().unwrap().stop().unwrap();
    // Where the repository can be seen and the hook could write.
    scene.stack.start_agent(&["--home", &home, "--sandbox", "process"]).unwrap();
    // A path outside of the configuration is refused where it stands literally, so it is computed.
    let main = format!(
        "locals {{\n  where = \"git::file://{repository}\"\n}}\nmodule \"m\" {{\n  source = local.where\n}}\n\
         resource \"terraform_data\" \"a\" {{\n  provisioner \"local-exec\" {{\n    command = \"env | grep ^GIT_\"\n  }}\n}}\n\
         output \"x\" {{\n  value = module.m.x\n}}\n"
    );
    let said = scene.apply(&scene.configuration(&main)).succeeded().unwrap().all();
    assert!(said.contains("from git"), "{said}");
    assert!(!at("home/hit").exists(), "{said}");
    let ceiling = format!("GIT_CEILING_DIRECTORIES={}", scene.stack.run_root().display());
    for variable in ["GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_COUNT=4", "GIT_CONFIG_VALUE_1=never", &ceiling] {
        assert!(said.contains(variable), "{variable}: {said}");
    }
    // Nor can a variable of the run bring them back.
    let refused =
        scene.stack.run(&["variable", "set", "GIT_CONFIG_GLOBAL", "/x", "--kind", "env", "-w", "demo"]).unwrap();
    assert!(refused.code == Some(1) && refused.all().contains("may not be set"), "{}", refused.all());
}
