//! Secrets that an earlier agent of this host has left, wherever it had put them.

use std::fs;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::{SOON, Scene, wait_until};

/// A secret directory below `place` that nobody holds.
fn leave(place: &Path) -> PathBuf {
    let root = place.join(format!("nigari-{}", rustix::process::geteuid().as_raw()));
    let left = root.join("left");
    fs::DirBuilder::new().mode(0o700).recursive(true).create(&left).unwrap();
    fs::write(left.join("secret"), "x").unwrap();
    left
}

#[test]
fn an_agent_with_another_secret_root_sweeps_the_one_that_it_had() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", SOON).unwrap();
    scene.stack.agent().unwrap().kill().unwrap();
    let (earlier, now) = (scene.stack.secret_root().unwrap().to_owned(), tempfile::tempdir_in("/dev/shm").unwrap());
    let other_root = now.path().display().to_string();
    let left = leave(&earlier);
    scene.stack.start_agent(&["--secret-root", &other_root]).unwrap();
    wait_until("the sweep of the earlier root", || !left.exists());
    scene.stack.agent().unwrap().wait_for_line("session opened", SOON).unwrap();
    scene.stack.agent().unwrap().stop().unwrap();
    // By hand, with the state directory as the only thing that is the same.
    let left = [leave(&earlier), leave(now.path())];
    let state = scene.stack.directory().join("agent").display().to_string();
    let third = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut sweep = scene.stack.command(&["agent", "sweep", "--state-dir", &state, "--secret-root"]);
    sweep.arg(third.path());
    let said = support::child::run(sweep).unwrap().succeeded().unwrap();
    for left in left {
        assert!(!left.exists() && said.out.contains(&left.display().to_string()), "{}", said.all());
    }
    assert_eq!(fs::read_dir(third.path()).unwrap().count(), 0, "a sweep makes nothing");
}

#[test]
fn a_sweep_by_another_user_is_77_and_says_as_whom() {
    if !support::require::root() {
        return;
    }
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", SOON).unwrap();
    scene.stack.agent().unwrap().stop().unwrap();
    let state = scene.stack.directory().join("agent");
    for name in ["secret-roots", "."] {
        std::os::unix::fs::chown(state.join(name), Some(65534), None).unwrap();
    }
    let state = state.display().to_string();
    let root = scene.stack.secret_root().unwrap().display().to_string();
    let said = scene.stack.run(&["agent", "sweep", "--state-dir", &state, "--secret-root", &root]).unwrap();
    assert_eq!(said.code, Some(77), "{}", said.all());
    let with_directory = format!("nigari agent sweep --state-dir {state}");
    assert!(said.err.contains("--reuid 65534") && said.err.contains(&with_directory), "{}", said.all());
}

#[test]
fn a_sweep_by_hand_says_where_it_looked_and_claims_nothing_of_where_no_agent_ran() {
    let Some(mut scene) = Scene::start() else { return };
    scene.stack.agent().unwrap().wait_for_line("session opened", SOON).unwrap();
    scene.stack.agent().unwrap().stop().unwrap();
    let other = tempfile::tempdir_in("/dev/shm").unwrap();
    let sweep = |more: &[&str]| {
        let mut sweep = scene.stack.command(&["agent", "sweep", "--secret-root"]);
        sweep.arg(other.path()).args(more);
        support::child::run(sweep).unwrap()
    };
    // No agent has kept anything in the usual place of this home.
    let said = sweep(&[]);
    assert_eq!(said.code, Some(2), "{}", said.all());
    for words in
        ["no agent has ever run with the state directory", "--state-dir", "nigari/up/agent", "/var/lib/nigari-agent"]
    {
        assert!(said.err.contains(words), "{words}: {}", said.err);
    }
    // The same where something is swept, but not all that there may be.
    let left = leave(other.path());
    let said = sweep(&[]);
    assert!(said.code == Some(2) && said.out.contains(&left.display().to_string()), "{}", said.all());
    // Where `nigari up` has its agent, it is found without a word, and below the directory that `up` was given.
    let agent = scene.stack.directory().join("agent");
    for (up, more) in [("home/.local/state/nigari/up", None), ("elsewhere", Some("elsewhere"))] {
        let kept = scene.stack.directory().join(up).join("agent");
        fs::create_dir_all(&kept).unwrap();
        fs::copy(agent.join("secret-roots"), kept.join("secret-roots")).unwrap();
        let left = leave(scene.stack.secret_root().unwrap());
        let given = more.map(|name: &str| scene.stack.directory().join(name).display().to_string());
        let flags: Vec<&str> = given.iter().flat_map(|given| ["--state-dir", given.as_str()]).collect();
        let said = sweep(&flags);
        assert_eq!(said.code, Some(0), "{}", said.all());
        assert!(!left.exists() && said.out.contains(&left.display().to_string()), "{}", said.all());
        assert!(said.err.contains(&kept.display().to_string()), "{}", said.err);
        assert!(said.err.contains(&left.parent().unwrap().display().to_string()), "{}", said.err);
    }
}
