//! The delivery `helper`: who is answered, what is answered, what is left, and what an expression finds.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use support::canary::Canary;
use support::child::{Finished, command, read_text, run_with_input};

use super::recorder::Recorder;
use super::shelf::{REPOSITORY, Shelf};
use super::with_modules;
use super::world::{Setup, World};

/// The program, by a link in a place of the test's own.
fn program(place: &Path) -> PathBuf {
    let link = place.join("docker-credential-nigari");
    if !link.exists() {
        symlink(env!("CARGO_BIN_EXE_nigari"), &link).unwrap();
    }
    link
}

fn says(place: &Path, verb: &str, socket: Option<&Path>, input: &str) -> Finished {
    let mut line = command(program(place));
    line.env_clear().arg(verb);
    if let Some(socket) = socket {
        line.env("NIGARI_HELPER_SOCKET", socket);
    }
    run_with_input(line, input.as_bytes()).unwrap()
}

#[test]
fn outside_of_a_run_it_has_nothing_and_takes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let list = says(place.path(), "list", None, "");
    assert_eq!((list.code, list.out.trim()), (Some(0), "{}"));
    let version = says(place.path(), "version", None, "");
    assert!(version.code == Some(0) && version.out.contains("nigari"), "{}", version.out);
    let stored = r#"{"ServerURL":"https://h","Username":"u","Secret":"canary-stored-5e1f"}"#;
    for (verb, input) in [("store", stored), ("erase", "https://h"), ("", ""), ("GET", "h"), ("get", "https://h")] {
        let said = says(place.path(), verb, None, input);
        assert_eq!(said.code, Some(1), "{verb}: {}", said.all());
        assert!(!said.out.trim().is_empty() && !said.all().contains("5e1f"), "{verb}: {}", said.all());
    }
    let gone = says(place.path(), "get", Some(&place.path().join("gone/socket")), "h");
    assert!(gone.code == Some(1) && gone.out.contains("cannot be asked"), "{}", gone.all());
}

/// A shell's words that ask for `host`, as `how` says, in a child of what becomes `tofu get`; what is said goes to `to`.
fn asks(how: &str, host: &str, to: &Path) -> String {
    let to = to.display();
    format!(
        "if [ \"$1\" = get ]; then ( printf 'https://{host}' > {to}.in; {{ {how}; }} < {to}.in > {to} 2>&1 ) & wait; fi\n"
    )
}

/// Runs a configuration with the shelf's module while somebody asks; gives what was said to that one, the receipt, and
/// whether the password was in it.
fn asked(how: &str) -> Option<(String, String, bool)> {
    asked_by(how, &[])
}

/// The same, of an agent that finds programs in these directories first.
fn asked_by(how: &str, programs: &[&Path]) -> Option<(String, String, bool)> {
    let place = tempfile::tempdir().unwrap();
    let canary = Canary::new(super::world::USER);
    let shelf = Shelf::start(&canary.password)?;
    let said = place.path().join("said");
    let how = how.replace("COPY", &place.path().join("copy/docker-credential-nigari").display().to_string());
    let recorder = Recorder::with(&asks(&how, &shelf.host(), &said))?;
    let tofu = recorder.program();
    let setup = Setup { tofu: Some(&tofu), canaries: vec![canary], without_agent: true, ..Setup::default() };
    let world = World::with(setup)?;
    let mut path: Vec<String> = programs.iter().map(|directory| directory.display().to_string()).collect();
    let readable = path.join(",");
    let more: &[&str] = if path.is_empty() { &[] } else { &["--read-paths", &readable] };
    path.push("/usr/bin:/bin".to_owned());
    let _agent = world.another_agent_with("asked", more, &[("PATH", &path.join(":"))]);
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
    let text = read_text(&said);
    let receipt = world.run(&world.newest())["receipts"][0].to_string();
    let has_password = text.contains(&shelf.password);
    Some((text, receipt, has_password))
}

#[test]
fn the_helper_is_answered_only_as_tofus_own_child() {
    // The control: it is the parent that makes the difference.
    let Some((said, receipt, has_password)) = asked("exec docker-credential-nigari get") else { return };
    assert!(has_password, "{said} {receipt}");
    let Some((said, receipt, has_password)) = asked("docker-credential-nigari get; true") else { return };
    assert!(said.contains("answers its own credential helper alone") && !has_password, "{said}");
    assert!(receipt.contains("refused a process that tofu did not start"), "{receipt}");
}

#[test]
fn a_child_of_tofu_that_runs_another_program_is_refused() {
    let copied = "mkdir -p $(dirname COPY); cp \"$(readlink -f \"$(command -v docker-credential-nigari)\")\" COPY; exec COPY get";
    let Some((said, receipt, has_password)) = asked(copied) else { return };
    assert!(said.contains("answers its own credential helper alone") && !has_password, "{said}");
    assert!(receipt.contains("refused another program than nigari's credential helper"), "{receipt}");
}

#[test]
fn what_git_becomes_is_refused_though_it_is_tofus_child_and_the_program() {
    let place = tempfile::tempdir().unwrap();
    let git = place.path().join("git");
    fs::write(&git, "#!/bin/sh\nNIGARI_HELPER_SOCKET=$2 exec $1 get\n").unwrap();
    fs::set_permissions(&git, fs::Permissions::from_mode(0o755)).unwrap();
    let becomes =
        |git: &str| format!("exec {git} \"$(command -v docker-credential-nigari)\" \"$NIGARI_HELPER_SOCKET\"");
    // The control: the same program, not in its place.
    let Some((said, receipt, has_password)) = asked_by(&becomes(&git.display().to_string()), &[place.path()]) else {
        return;
    };
    assert!(has_password, "{said} {receipt}");
    let shell =
        "exec sh -c \"NIGARI_HELPER_SOCKET=$NIGARI_HELPER_SOCKET exec $(command -v docker-credential-nigari) get\"";
    for how in [becomes("git"), shell.to_owned()] {
        let Some((said, receipt, has_password)) = asked_by(&how, &[place.path()]) else { return };
        assert!(said.contains("answers its own credential helper alone") && !has_password, "{said}");
        assert!(receipt.contains("refused what git, hg"), "{receipt}");
    }
}

#[test]
fn from_outside_of_the_run_nobody_is_answered_and_after_it_nothing_listens() {
    let hold = tempfile::tempdir().unwrap();
    let go = hold.path().join("go");
    let wait = format!("while [ \"$1\" = get ] && [ ! -e '{}' ]; do sleep 0.02; done\n", go.display());
    let Some(recorder) = Recorder::with(&wait) else { return };
    let tofu = recorder.program();
    let Some(world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let id = world.begin(&world.configuration(&shelf.main()), &["--auto-approve"]);
    let socket = wait_for_socket(&world);
    for asked in [format!("https://{}", shelf.host()), shelf.host(), "list".to_owned(), "x".repeat(5000)] {
        let said = says(hold.path(), "get", Some(&socket), &asked);
        assert_eq!(said.code, Some(1), "{}", said.all());
        assert!(said.out.contains("answers its own credential helper alone"), "{}", said.all());
    }
    fs::write(&go, "").unwrap();
    world.wait_for_state(&id, "applied");
    assert!(!socket.exists() && !socket.parent().unwrap().exists());
    let receipt = world.run(&id)["receipts"][0].clone();
    assert!(receipt["notes"].to_string().contains("(4 times)"), "{receipt:#}");
    assert_eq!(receipt["delivery"], "helper");
    assert_eq!(
        (&receipt["used"][0]["host"], &receipt["used"][0]["integrations"][0]),
        (&shelf.host().into(), &"demo".into())
    );
    assert!(receipt["used"][0]["requests"].as_u64().unwrap() > 0, "{receipt:#}");
    assert!(receipt["meaning"].as_str().unwrap().contains("tofu's memory"), "{receipt:#}");
}

/// The socket of the run that is at work.
fn wait_for_socket(world: &World) -> PathBuf {
    let begun = Instant::now();
    loop {
        let found = world.secrets().into_iter().map(|run| run.join("helper/socket")).find(|path| path.exists());
        if let Some(socket) = found {
            return socket;
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "no socket: {:?}", world.secrets());
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn several_paths_of_one_host_are_refused_with_what_can_tell_them_apart() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    for path in ["one", "two"] {
        shelf.add_at(&world, path, &format!("/{path}"), &["--export"]).succeeded().unwrap();
    }
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("different paths") && said.contains("registry.localhost"), "{said}");
    // With one for the whole host there is no doubt.
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
}

#[test]
fn a_registry_elsewhere_goes_by_the_broker_and_one_on_loopback_by_the_helper_in_one_run() {
    let Some(world) = World::start() else { return };
    let Some(far) = Shelf::start_far(&world.canaries[0].password) else { return };
    let Some(near) = Shelf::start(&world.canaries[1].password) else { return };
    far.add(&world, "far", &["--export"]).succeeded().unwrap();
    near.add(&world, "near", &["--export"]).succeeded().unwrap();
    let modules = [("a", far.source(REPOSITORY)), ("b", near.source(REPOSITORY))];
    let said = world.apply(&world.configuration(&with_modules(&modules)), 0);
    assert!(said.contains("hello, a") && said.contains("hello, b"), "{said}");
    let receipt = world.run(&world.newest())["receipts"][0].clone();
    assert_eq!(receipt["delivery"], "broker, helper", "{receipt:#}");
    let by = |name: &str| {
        let used = receipt["used"].as_array().unwrap().iter();
        used.filter(|one| one["integrations"] == serde_json::json!([name])).map(|one| one["host"].clone()).collect()
    };
    let (broker, helper): (Vec<_>, Vec<_>) = (by("far"), by("near"));
    assert_eq!((broker, helper), (vec![far.host().into()], vec![near.host().into()]), "{receipt:#}");
}

#[test]
fn what_only_the_broker_may_do_is_not_done_for_a_registry_on_loopback() {
    let agent = ["--delivery", "broker"];
    let Some(world) = World::with(Setup { agent: &agent, ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&shelf.main()), 1);
    assert!(said.contains("the broker cannot serve") && said.contains("registry.localhost"), "{said}");
    assert!(!shelf.log().contains("auth.user.name="), "{}", shelf.log());
    // It had come, so there is a receipt, which says that nothing became of it.
    let id = world.newest();
    let receipt = world.run(&id)["receipts"][0].clone();
    assert_eq!((&receipt["end"], &receipt["wiped"]), (&"never_began".into(), &true.into()), "{receipt:#}");
    assert_eq!((&receipt["hosts"][0], &receipt["delivery"]), (&shelf.host().into(), &"broker".into()), "{receipt:#}");
    let shown = world.ends(&["run", "show", &id], 0);
    assert!(shown.contains("(no step got them)"), "{shown}");
}

#[test]
fn a_host_without_an_integration_is_asked_without_a_login() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    let Some(other) = Shelf::start(&world.canaries[1].password) else { return };
    shelf.store(&world);
    let said = world.apply(&world.configuration(&other.main()), 1);
    assert!(said.contains("hint:") && !other.log().contains("auth.user.name="), "{said}");
}

#[test]
fn after_the_fetch_step_the_program_is_nowhere() {
    let Some(world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let look = "command -v docker-credential-nigari || env | grep -i helper || echo nothing-of-it";
    let main = format!(
        "{}resource \"terraform_data\" \"look\" {{\n  provisioner \"local-exec\" {{\n    command = \"{look}\"\n  }}\n}}\n",
        with_modules(&[("greeting", shelf.source(REPOSITORY))])
    );
    let said = world.apply(&world.configuration(&main), 0);
    assert!(said.contains("nothing-of-it"), "{said}");
    world.wait_for_wipe();
}
