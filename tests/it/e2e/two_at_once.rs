//! Two runs at the same time on one agent: each has a broker of its own, which takes nobody else's nonce.
//!
//! Rule: it is a step of the one that asks the other's broker, by what it has itself.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::recorder::Recorder;
use super::shelf::Shelf;
use super::world::{Setup, World};
use super::write;

/// Waits, before it is `tofu get`, for a port by the name of its own, and takes that instead.
fn waits_for_a_port(place: &Path) -> String {
    let own = format!("{}/$own", place.display());
    format!(
        "if [ \"$1\" = get ]; then\n  own=${{HTTPS_PROXY##*:}}; own=${{own%/}}\n  while [ ! -e {own} ]; do sleep 0.02; \
         done\n  HTTPS_PROXY=${{HTTPS_PROXY%:*}}:$(cat {own}); export HTTPS_PROXY\nfi"
    )
}

/// Waits until a step has begun whose port is not this one; gives its port.
fn wait_for_port(recorder: &Recorder, but: Option<u16>) -> u16 {
    let begun = Instant::now();
    loop {
        let starts = recorder.starts("get");
        let proxies = starts.iter().filter_map(|start| start.variable("HTTPS_PROXY"));
        let mut ports = proxies.filter_map(|proxy| proxy.parse::<url::Url>().ok()?.port());
        if let Some(port) = ports.find(|port| Some(*port) != but) {
            return port;
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "no step has begun");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A run in a workspace of its own; gives its id.
fn begin(world: &World, workspace: &str, directory: &Path) -> String {
    let directory = directory.display().to_string();
    let said = world.ends(&["apply", &directory, "-w", workspace, "--create", "--auto-approve", "--detach"], 0);
    let start = said.find("run-").unwrap();
    said[start..start + 36].to_owned()
}

#[test]
fn a_step_of_one_run_is_nobody_to_the_broker_of_another() {
    let place = tempfile::tempdir().unwrap();
    let Some(recorder) = Recorder::with(&waits_for_a_port(place.path())) else { return };
    let tofu = recorder.program();
    let agent = ["--concurrency", "2"];
    let Some(world) = World::with(Setup { tofu: Some(&tofu), agent: &agent, ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_far(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&shelf.main());
    let one = begin(&world, "one", &directory);
    let port_of_one = wait_for_port(&recorder, None);
    let two = begin(&world, "two", &directory);
    let port_of_two = wait_for_port(&recorder, Some(port_of_one));
    let take = |own: u16, port: u16| {
        // All at once, because somebody looks for it.
        let (file, whole) = (place.path().join(own.to_string()), place.path().join("whole"));
        write(&whole, &port.to_string());
        std::fs::rename(whole, file).unwrap();
    };
    take(port_of_one, port_of_two);
    let run = world.wait_for_state(&one, "errored");
    let failure = &run["failure"];
    // tofu breaks its lines.
    let message = failure["message"].as_str().unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(failure["step"] == "fetch" && message.contains("Proxy Authentication Required"), "{run:#}");
    let receipt = &run["receipts"][0];
    assert!(receipt["pulled"].as_array().is_none_or(Vec::is_empty), "{receipt:#}");
    assert!(!shelf.log().contains("auth.user.name="), "{}", shelf.log());
    // The control: whose broker it is has what it wants, and the other run has left it as it was.
    take(port_of_two, port_of_two);
    let run = world.wait_for_state(&two, "applied");
    assert_eq!(run["receipts"][0]["pulled"].as_array().map(Vec::len), Some(1), "{run:#}");
    assert!(!shelf.pulled_by(super::shelf::REPOSITORY).is_empty(), "{}", shelf.log());
}
