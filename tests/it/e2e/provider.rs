//! A hostile provider: what it can reach while tofu plans and while it applies.
//!
//! Rule: the look must be seen to be real, so a decoy lies where it looks and has to be found.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use support::canary::Canary;
use support::require;
use support::search::Search;
use support::tools::hostile_mirror;
use tempfile::TempDir;

use super::shelf::Shelf;
use super::world::{Setup, USER, World};
use super::write;

/// The operator's mirror with the provider in it, and where it sends what it sees.
pub(super) struct Hostile {
    directory: TempDir,
    version: &'static str,
    port: u16,
    listener: Option<JoinHandle<Vec<PathBuf>>>,
}

impl Hostile {
    /// Takes every report into a file of its own.
    pub(super) fn start() -> Option<Self> {
        let program = require::provider_hostile()?;
        let directory = tempfile::tempdir().unwrap();
        let mirror = directory.path().join("mirror");
        let version = hostile_mirror(&program, &mirror).unwrap();
        let settings = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n",
            mirror.display()
        );
        write(&directory.path().join("operator.tfrc"), &settings);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let to = directory.path().to_owned();
        let take = move || {
            let mut files = Vec::new();
            for stream in listener.incoming() {
                let file = to.join(format!("report-{}", files.len()));
                if !receive(&stream.unwrap(), &file) {
                    break;
                }
                files.push(file);
            }
            files
        };
        Some(Self { directory, version, port, listener: Some(std::thread::spawn(take)) })
    }

    pub(super) fn settings(&self) -> String {
        self.directory.path().join("operator.tfrc").display().to_string()
    }

    /// A module from the registry, and the provider's resource that walks these places.
    fn main(&self, registry: &Shelf, places: &[&Path]) -> String {
        format!("{}{}", registry.main(), self.resource(places, &[]))
    }

    /// The provider's resource alone: what it walks, and what it fetches.
    pub(super) fn resource(&self, places: &[&Path], fetched: &[String]) -> String {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!(
            "terraform {{\n  required_providers {{\n    hostile = {{\n      source  = \"nigari/hostile\"\n      version = \
             \"{}\"\n    }}\n  }}\n}}\nresource \"hostile_look\" \"it\" {{\n  report = \"http://127.0.0.1:{}/\"\n  places = \
             \"{}\"\n  fetch  = \"{}\"\n}}\n",
            self.version,
            self.port,
            places.join(":"),
            fetched.join(" ")
        )
    }

    /// The reports that have come; there will be no more.
    pub(super) fn reports(&mut self) -> Vec<PathBuf> {
        // A connection without a request ends the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        self.listener.take().unwrap().join().unwrap()
    }
}

/// One chunked request into a file, answered with 204; whether there was one.
fn receive(stream: &TcpStream, file: &Path) -> bool {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap() == 0 {
        return false;
    }
    let mut to = File::create(file).unwrap();
    while {
        line.clear();
        reader.read_line(&mut line).unwrap() > 0
    } && line != "\r\n"
    {}
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        let length = u64::from_str_radix(line.trim_end(), 16).unwrap();
        std::io::copy(&mut reader.by_ref().take(length), &mut to).unwrap();
        reader.read_line(&mut String::new()).unwrap();
        if length == 0 {
            break;
        }
    }
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    true
}

pub(super) fn hits(canary: &Canary, report: &Path) -> usize {
    let mut search = Search::new(std::slice::from_ref(canary));
    search.file(report);
    search.hits().len()
}

#[test]
fn a_hostile_provider_finds_no_credential_while_tofu_plans_and_applies() {
    // Any process of an ordinary user, this test too, could be read by another of that user.
    if !require::root() {
        return;
    }
    let Some(mut hostile) = Hostile::start() else { return };
    let settings = hostile.settings();
    let setup = Setup { agent: &["--cli-config", &settings], ..Setup::default() };
    let Some(world) = World::with(setup) else { return };
    let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.store(&world);
    let (runs, secrets) = (world.stack.run_root(), world.stack.secret_root().unwrap().to_owned());
    let places = [runs.as_path(), &secrets, world.stack.directory(), Path::new("/run")];
    let directory = world.configuration(&hostile.main(&shelf, &places));
    let decoy = Canary::new(USER);
    write(&directory.join("decoy.txt"), &decoy.password);
    world.apply(&directory, 0);
    let token = |path: PathBuf| Canary::of(fs::read_to_string(path).unwrap().trim());
    let identity = token(world.stack.directory().join("agent/identity"));
    let admin = token(world.stack.token_file());
    // As root, and in the sandbox `process`, what lies on the host's disk can be read; see docs/THREAT_MODEL.md.
    let is_apart = world.run(&world.newest())["receipts"][0]["sandbox"] == "namespace";
    let mut moments = Vec::new();
    for report in hostile.reports() {
        let text = String::from_utf8_lossy(&fs::read(&report).unwrap()).into_owned();
        let moment =
            ["plan", "apply"].into_iter().find(|moment| text.contains(&format!("=== moment {moment} "))).unwrap();
        assert!(text.contains(&format!("=== end of {moment}")), "{moment}");
        assert!(text.contains("own environment TF_") && text.contains("read /proc/"), "nothing was looked at");
        assert_ne!(hits(&decoy, &report), 0, "the look is blind at {moment}");
        assert_eq!(hits(&world.canaries[0], &report), 0, "the credential was in reach at {moment}");
        if is_apart {
            assert_eq!(hits(&identity, &report), 0, "the agent's identity was in reach at {moment}");
            assert_eq!(hits(&admin, &report), 0, "the administrator's token was in reach at {moment}");
            // tofu and the provider talk over sockets of the run's own.
            let sockets = text.lines().filter_map(|line| line.strip_prefix("connected to socket /"));
            let foreign: Vec<&str> = sockets.filter(|path| !Path::new("/").join(path).starts_with(&runs)).collect();
            assert!(foreign.is_empty(), "sockets of the host were in reach at {moment}: {foreign:?}");
        }
        moments.push(moment);
    }
    // tofu plans once more before it applies.
    assert!(moments.contains(&"plan") && moments.contains(&"apply"), "{moments:?}");
}
