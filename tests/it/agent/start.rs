//! What keeps an agent from starting, each with its exit code and what to do.

use std::fs;
use std::time::Duration;

use super::Scene;

/// Starts another agent and gives its exit code and log.
fn start(scene: &Scene, settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut agent = scene.other_agent(settings);
    let code = agent.wait(Duration::from_mins(1)).unwrap().code();
    (code, agent.log())
}

fn file(scene: &Scene, name: &str, text: &str) -> String {
    let path = scene.place.path().join(name);
    fs::write(&path, text).unwrap();
    support::child::run({
        let mut chmod = support::child::command("chmod");
        chmod.arg("600").arg(&path);
        chmod
    })
    .unwrap();
    path.display().to_string()
}

#[test]
fn a_token_that_the_server_does_not_take_is_77() {
    let Some(scene) = Scene::start() else { return };
    let token = file(&scene, "wrong.token", "ngr_join_wrong\n");
    let state = scene.place.path().join("fresh").display().to_string();
    let (code, log) = start(&scene, &[("--join-token-file", &token), ("--state-dir", &state)]);
    assert_eq!(code, Some(77), "{log}");
    assert!(!log.contains("ngr_join_wrong"), "{log}");
}

#[test]
fn secrets_on_a_disk_are_78() {
    let Some(scene) = Scene::start() else { return };
    // The source tree is on a disk wherever it is built.
    let disk = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (code, log) = start(&scene, &[("--secret-root", &disk.path().display().to_string())]);
    assert_eq!(code, Some(78), "{log}");
    assert!(log.contains("hint:"), "{log}");
}

#[test]
fn a_program_that_is_not_tofu_is_78() {
    let Some(scene) = Scene::start() else { return };
    let (code, log) = start(&scene, &[("--tofu", "/bin/true")]);
    assert_eq!(code, Some(78), "{log}");
}

#[test]
fn a_broken_cli_configuration_is_78_and_a_good_one_is_merged() {
    let Some(mut scene) = Scene::start() else { return };
    let broken = file(&scene, "broken.tfrc", "provider_installation {\n");
    let (code, log) = start(&scene, &[("--cli-config", &broken)]);
    assert_eq!(code, Some(78), "{log}");
    let refused = file(&scene, "refused.tfrc", "provider_installation {\n  nonsense {}\n}\n");
    let (code, log) = start(&scene, &[("--cli-config", &refused)]);
    assert_eq!(code, Some(78), "{log}");
    let good = file(&scene, "good.tfrc", "disable_checkpoint = true\n");
    scene.stack.agent().unwrap().stop().unwrap();
    scene.stack.start_agent(&["--cli-config", &good]).unwrap();
    scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n")).succeeded().unwrap();
}

#[test]
fn a_cli_configuration_that_breaks_later_is_found_before_a_credential_is_released() {
    let (Some(shelf), Some(mut scene)) = (super::Shelf::start(), Scene::start()) else { return };
    shelf.store(&scene, "--export", &shelf.canary.password);
    let settings = file(&scene, "cli.tfrc", "disable_checkpoint = true\n");
    scene.stack.agent().unwrap().stop().unwrap();
    scene.stack.start_agent(&["--cli-config", &settings]).unwrap();
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    let released = |scene: &Scene| {
        let audit = scene.stack.json(&["audit", "list", "--json"]).unwrap();
        audit.to_string().matches("registry_integration:release").count()
    };
    for broken in ["provider_installation {\n", "provider_installation {\n  nonsense {}\n}\n"] {
        fs::write(&settings, broken).unwrap();
        let said = scene.apply(&scene.configuration(&shelf.main()));
        assert_eq!(said.code, Some(1), "{}", said.all());
        assert!(said.all().contains("cli.tfrc") || said.all().contains("cli_config"), "{}", said.all());
        assert_eq!(released(&scene), 0, "{}", said.all());
    }
    fs::write(&settings, "disable_checkpoint = true\n").unwrap();
    scene.apply(&scene.configuration(&shelf.main())).succeeded().unwrap();
    assert_ne!(released(&scene), 0);
}

#[test]
fn an_agent_says_at_its_start_what_lies_open_to_runs() {
    let Some(mut scene) = Scene::with(&[], &["--concurrency", "2", "--sandbox", "process"]) else { return };
    let agent = scene.stack.agent().unwrap();
    agent.wait_for_line("session opened", super::SOON).unwrap();
    let log = agent.log();
    assert!(log.contains("at the same time can look into each other's processes"), "{log}");
    // The stack's server lies beside its agent, under the same user; Landlock hides it from steps.
    assert_eq!(log.contains("root key"), nigari::sandbox::landlock_version() == 0, "{log}");
    assert_eq!(log.contains("the agent is root"), rustix::process::geteuid().is_root(), "{log}");
    // In the better sandbox there is nothing of it to say, and what there is instead is said.
    scene.stack.agent().unwrap().stop().unwrap();
    scene.stack.start_agent(&["--concurrency", "2"]).unwrap();
    let agent = scene.stack.agent().unwrap();
    agent.wait_for_line("steps run in the sandbox `", super::SOON).unwrap();
    let log = agent.log();
    // The first agent's lines are in it too.
    let log = log.rsplit("stopping when").next().unwrap();
    let is_better = log.contains("steps run in the sandbox `namespace`");
    assert_ne!(is_better, log.contains("because `namespace` cannot be had"), "{log}");
    assert!(!is_better || !log.contains("root key"), "{log}");
}

#[test]
fn a_second_agent_with_the_same_state_directory_does_not_start_and_the_first_goes_on() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    let same = scene.stack.directory().join("agent");
    let mut second = scene.other_agent(&[("--state-dir", &same.display().to_string())]);
    assert_eq!(second.wait(super::SOON).unwrap().code(), Some(78), "{}", second.log());
    assert!(second.log().contains("another agent runs with the state directory"), "{}", second.log());
    assert!(second.log().contains("(`state_dir`)"), "the key that there is: {}", second.log());
    scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n")).succeeded().unwrap();
    assert!(scene.stack.agent().unwrap().ended().unwrap().is_none());
}

#[test]
fn a_file_of_authorities_without_a_certificate_is_a_wrong_setting() {
    let Some(scene) = Scene::start() else { return };
    let (state, pem) = (scene.place.path().join("another"), scene.place.path().join("text.pem"));
    fs::create_dir(&state).unwrap();
    fs::write(&pem, "hello\n").unwrap();
    let [state, pem] = [state, pem].map(|path| path.display().to_string());
    let mut agent = scene.other_agent(&[("--state-dir", &state), ("--ca-file", &pem)]);
    assert_eq!(agent.wait(super::SOON).unwrap().code(), Some(78), "{}", agent.log());
    let log = agent.log();
    assert!(log.contains(&format!("ca_file {pem} cannot be used: there is no certificate in it")), "{log}");
}

#[test]
fn a_copy_of_a_running_agent_sends_the_older_away_with_77_and_says_why() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    let copy = scene.place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    fs::copy(scene.stack.directory().join("agent/identity"), copy.join("identity")).unwrap();
    let mut copied = scene.other_agent(&[("--state-dir", &copy.display().to_string())]);
    let older = scene.stack.agent().unwrap();
    assert_eq!(older.wait(super::SOON).unwrap().code(), Some(77), "{}", older.log());
    let log = older.log();
    assert!(log.contains("ERROR") && log.contains("another process uses this agent's identity"), "{log}");
    assert!(scene.stack.server().unwrap().log().contains("two processes use one agent's identity"));
    scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n")).succeeded().unwrap();
    assert!(copied.ended().unwrap().is_none(), "{}", copied.log());
    copied.stop().unwrap();
}

#[test]
fn an_agent_without_its_server_says_so_once_and_when_it_is_back() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    scene.stack.server().unwrap().stop().unwrap();
    scene.stack.agent().unwrap().wait_for_line("the server is out of reach", super::SOON).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    scene.stack.start_server(&[]).unwrap();
    let agent = scene.stack.agent().unwrap();
    agent.wait_for_line("the server is back", super::SOON).unwrap();
    let log = agent.log();
    assert_eq!(log.matches("the server is out of reach").count(), 1, "{log}");
}

#[test]
fn an_agent_whose_session_began_outside_of_its_pid_namespace_does_runs() {
    if !support::require::root() {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    // What containers without an init of their own and CI jobs look like: getsid(2) says 0 there.
    scene.stack.agent().unwrap().stop().unwrap();
    let mut agent = scene.other_agent_in_pid_namespace();
    let said = scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n"));
    assert_eq!(said.code, Some(0), "{}\n{}", said.all(), agent.log());
    agent.kill().unwrap();
}

#[test]
fn a_removed_agent_joins_anew_on_that_word_of_the_server_alone() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", super::SOON).unwrap();
    let identity = scene.stack.directory().join("agent/identity");
    let earlier = fs::read_to_string(&identity).unwrap();
    // An identity that the server does not take for another reason: the good join token beside it is not tried.
    let damaged = scene.place.path().join("damaged");
    fs::create_dir(&damaged).unwrap();
    fs::write(damaged.join("identity"), "ngr_agent_damaged").unwrap();
    let (code, log) = start(&scene, &[("--state-dir", &damaged.display().to_string())]);
    assert_eq!(code, Some(77), "{log}");
    assert!(!log.contains("joins anew") && log.contains("remove ") && log.contains("damaged/identity"), "{log}");

    let name = scene.stack.json(&["agent", "list", "--json"]).unwrap()[0]["name"].as_str().unwrap().to_owned();
    scene.stack.run(&["agent", "remove", &name]).unwrap().succeeded().unwrap();
    let agent = scene.stack.agent().unwrap();
    assert_eq!(agent.wait(super::SOON).unwrap().code(), Some(77), "{}", agent.log());
    assert!(agent.log().contains("agent/identity") && agent.log().contains("--kind join"), "{}", agent.log());
    // A join token that is not taken leaves the identity as it is.
    let wrong = file(&scene, "wrong.token", "ngr_join_wrong\n");
    let (code, log) = start(&scene, &[("--join-token-file", &wrong)]);
    assert_eq!(code, Some(77), "{log}");
    assert!(log.contains("joins anew"), "{log}");
    assert_eq!(fs::read_to_string(&identity).unwrap(), earlier);

    scene.stack.start_agent(&[]).unwrap();
    scene.stack.agent().unwrap().wait_for_line("joins anew with the join token", super::SOON).unwrap();
    scene.apply(&scene.configuration("output \"x\" {\n  value = 1\n}\n")).succeeded().unwrap();
    assert_ne!(fs::read_to_string(&identity).unwrap(), earlier);
}

#[test]
fn a_server_with_a_certificate_of_nobody_is_69_and_not_said_to_be_tried_on() {
    let (Some(shelf), Some(scene)) = (super::Shelf::start(), Scene::start()) else { return };
    let server = format!("https://127.0.0.1:{}", shelf.registry.host().rsplit(':').next().unwrap());
    let state = scene.place.path().join("fresh").display().to_string();
    let (code, log) = start(&scene, &[("--server", &server), ("--state-dir", &state)]);
    assert_eq!(code, Some(69), "{log}");
    assert!(log.contains("--ca-file") && !log.contains("tried on"), "{log}");
}
