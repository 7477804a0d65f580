//! Where the state goes: ours, the configuration's own, or nowhere.

use super::{Scene, found};

const RESOURCE: &str = "resource \"terraform_data\" \"a\" {\n  input = \"x\"\n}\n";

#[test]
fn a_configuration_without_a_backend_keeps_its_state_here() {
    let Some(scene) = Scene::start() else { return };
    scene.apply(&scene.configuration(RESOURCE)).succeeded().unwrap();
    let state = scene.stack.run(&["state", "pull", "-w", "demo"]).unwrap().succeeded().unwrap();
    assert!(state.out.contains("terraform_data"), "{}", state.all());
    let said = scene.apply(&scene.configuration(RESOURCE)).succeeded().unwrap();
    assert!(said.all().contains("No changes"), "{}", said.all());
}

#[test]
fn a_local_backend_is_refused_before_anything_is_planned() {
    let Some(scene) = Scene::start() else { return };
    let said = scene.apply(&scene.configuration(&format!("terraform {{\n  backend \"local\" {{}}\n}}\n{RESOURCE}")));
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(said.all().contains("hint:") && said.all().contains("local"), "{}", said.all());
    assert!(!said.all().contains("tofu init"), "{}", said.all());
}

#[test]
fn an_uploaded_override_cannot_take_the_state_away() {
    let Some(scene) = Scene::start() else { return };
    let directory = scene.configuration(RESOURCE);
    std::fs::write(directory.join("zz_override.tf"), "terraform {\n  backend \"local\" {}\n}\n").unwrap();
    let said = scene.apply(&directory);
    assert_eq!(said.code, Some(1), "{}", said.all());
    assert!(!said.all().contains("Apply complete"), "{}", said.all());
}

#[test]
fn the_servers_password_for_the_state_is_worth_nothing_elsewhere() {
    let Some(scene) = Scene::start() else { return };
    // What `local-exec` can read of its environment is all there is: an address on loopback and a nonce.
    let main = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"env | grep TF_HTTP_\"\n  }\n}\n";
    let said = scene.apply(&scene.configuration(main)).succeeded().unwrap().all();
    assert!(said.contains("TF_HTTP_ADDRESS=http://127.0.0.1:") && said.contains("TF_HTTP_PASSWORD="), "{said}");
    assert!(!said.contains(scene.stack.url()) && !said.contains("ngr_"), "{said}");
}

#[test]
fn a_server_that_goes_away_in_the_middle_of_an_apply_gets_the_state_when_it_is_back() {
    let Some(mut scene) = Scene::start() else { return };
    let main = "resource \"terraform_data\" \"a\" {\n  provisioner \"local-exec\" {\n    command = \"echo begun; sleep 2\"\n  }\n}\n";
    let run = scene.begin(&scene.configuration(main), &["--auto-approve"]);
    scene.wait_for_step(&run, "apply");
    scene.stack.server().unwrap().kill().unwrap();
    std::thread::sleep(std::time::Duration::from_secs(4));
    scene.stack.start_server(&[]).unwrap();
    let shown = scene.wait_for_state(&run, "applied");
    assert_eq!(found(&shown, "state"), "applied");
    let state = scene.stack.run(&["state", "pull", "-w", "demo"]).unwrap().succeeded().unwrap();
    assert!(state.out.contains("terraform_data"), "{}", state.all());
    assert!(scene.log(&run).contains("begun"), "{}", scene.log(&run));
}
