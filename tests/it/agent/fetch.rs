//! The fetch step: what a run gets, what it does not get, and what is left of it.

use support::watch::Watch;

use super::{Scene, Shelf, found};

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
    assert!(scene.run_directories().is_empty() && scene.secrets().is_empty());
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
}
