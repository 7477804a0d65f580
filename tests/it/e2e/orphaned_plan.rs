//! The agent dies while a plan is under way: tofu is told, and has the time to put away what it holds.
//!
//! Rule: what shows it is left by tofu itself, where nobody of nigari's could have put it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use support::require;

use super::world::{Setup, World};
use super::{PLAIN, script};

/// How long anything may take that happens by itself, on a machine that does other things too.
const SOON: Duration = Duration::from_secs(90);

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < SOON, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The next agent finds the run canceled, and wipes what is left of it.
fn is_looked_after(mut world: World, run: &str, agent: &[&str]) {
    world.types(&["run", "cancel", run]);
    world.stack.start_agent(agent).unwrap();
    world.wait_for_wipe();
}

/// A tofu whose plan takes its time, notes the interrupt, and then has something to do.
fn patient(place: &Path, tofu: &Path) {
    let plan = "if [ \"$1\" = plan ]; then\n  trap 'echo > interrupted; sleep 3; echo > ended; exit 1' INT\n  echo > \
                planning\n  while :; do sleep 0.05; done\nfi";
    script(place, &format!("{plan}\nexec '{}' \"$@\"", tofu.display()));
}

#[test]
fn a_plan_is_interrupted_and_ends_by_itself_when_its_agent_is_killed() {
    let Some(tofu) = require::tofu() else { return };
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("tofu");
    patient(&program, &tofu);
    let tofu = tofu.display().to_string();
    for sandbox in ["process", "namespace"] {
        if sandbox == "namespace" && !crate::sandbox::has_namespaces() {
            continue;
        }
        let agent = ["--sandbox", sandbox, "--read-paths", &tofu];
        let setup = Setup { tofu: Some(&program), agent: &agent, ..Setup::default() };
        let Some(mut world) = World::with(setup) else { return };
        let run = world.begin(&world.configuration(PLAIN), &[]);
        let there = world.stack.run_root().join(&run).join("configuration");
        wait_until("the plan is under way", || there.join("planning").exists());
        assert!(!there.join("interrupted").exists());
        world.stack.agent().unwrap().kill().unwrap();
        wait_until("the plan has ended by itself", || there.join("ended").exists());
        assert!(there.join("interrupted").exists());
        is_looked_after(world, &run, &agent);
    }
}

/// A backend of the configuration's own, which remembers who asked for what, and lets one address wait.
#[derive(Clone, Default)]
struct Backend {
    heard: Arc<Mutex<Vec<String>>>,
    may_answer: Arc<AtomicBool>,
}

/// A state without anything in it.
const EMPTY: &str =
    r#"{"version":4,"terraform_version":"1.6.0","serial":1,"lineage":"empty","outputs":{},"resources":[]}"#;

impl Backend {
    /// It listens until the test's process ends; gives its address.
    fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let backend = self.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let backend = backend.clone();
                thread::spawn(move || backend.serve(stream));
            }
        });
        address
    }

    fn serve(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_ascii_lowercase());
        }
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut Vec::new()).ok()?;
        let asked = lines.first()?.split([' ', '?']).take(2).collect::<Vec<_>>().join(" ");
        self.heard.lock().unwrap().push(asked.clone());
        while asked == "get /slow" && !self.may_answer.load(Ordering::Relaxed) {
            thread::sleep(Duration::from_millis(20));
        }
        let (status, body) = match asked.as_str() {
            "get /state" => ("404 Not Found", ""),
            _ if asked.starts_with("get ") => ("200 OK", EMPTY),
            _ => ("200 OK", ""),
        };
        let head = format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        let mut stream = stream;
        stream.write_all(format!("{head}{body}").as_bytes()).ok()
    }

    fn has_heard(&self, asked: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|heard| heard == asked)
    }
}

#[test]
fn real_tofu_gives_the_lock_back_when_its_agent_is_killed_in_the_plan_and_begins_nothing_more() {
    let backend = Backend::default();
    let url = backend.start();
    let read = |name: &str, more: &str| {
        format!(
            "data \"terraform_remote_state\" \"{name}\" {{\n  backend = \"http\"\n  config = {{ address = \
             \"{url}/{name}\" }}\n{more}}}\n"
        )
    };
    let main = format!(
        "terraform {{\n  backend \"http\" {{\n    address = \"{url}/state\"\n    lock_address = \"{url}/lock\"\n    \
         unlock_address = \"{url}/lock\"\n  }}\n}}\n{}{}",
        read("slow", ""),
        read("after", "  depends_on = [data.terraform_remote_state.slow]\n")
    );
    let Some(mut world) = World::start() else { return };
    let run = world.begin(&world.configuration(&main), &[]);
    wait_until("the plan is under way", || backend.has_heard("get /slow"));
    assert!(backend.has_heard("lock /lock") && !backend.has_heard("unlock /lock"), "{:?}", backend.heard);
    world.stack.agent().unwrap().kill().unwrap();
    // That is the first that tofu does when it is interrupted.
    wait_until("what is known is written down", || backend.has_heard("post /state"));
    assert!(!backend.has_heard("unlock /lock"), "{:?}", backend.heard);
    backend.may_answer.store(true, Ordering::Relaxed);
    wait_until("the lock is given back", || backend.has_heard("unlock /lock"));
    assert!(!backend.has_heard("get /after"), "{:?}", backend.heard);
    is_looked_after(world, &run, &[]);
}
