//! An S3 source whose listing has `..` in its keys: tofu writes where its author likes (A20).
//!
//! Rule: what it does to tofu alone is shown first, with the same sources.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use support::child::{command, run};
use support::require;

use super::moved::respond;
use super::shelf::Shelf;
use super::world::{Setup, World};
use super::write;

/// A module, whatever else comes with it.
const MODULE: (&str, &str) = ("main.tf", "output \"text\" {\n  value = \"planted\"\n}\n");

/// A command that tells the bucket that it has run.
fn tells(port: u16) -> String {
    format!(
        "perl -MIO::Socket::INET -e 'print {{IO::Socket::INET->new(q(127.0.0.1:{port}))}} qq(GET /ran HTTP/1.0\\r\\n\\r\\n)'"
    )
}

/// What the AWS SDK gives to a shell.
fn of_aws(port: u16) -> Vec<(String, String)> {
    let text = format!("[profile spy]\nregion = us-east-1\ncredential_process = {}\n", tells(port));
    vec![(format!("{OUT}/home/.aws/config"), text)]
}

/// A repository in which git is started: what it calls a server is a program.
fn of_git(port: u16) -> Vec<(String, String)> {
    let remote = "https://h.invalid/r";
    let text = format!(
        "[core]\n\trepositoryformatversion = 0\n[url \"file:///p/\"]\n\tinsteadOf = https://h.invalid/\n[remote \
         \"{remote}\"]\n\tuploadpack = \"{}; false\"\n",
        tells(port).replace('\\', "\\\\")
    );
    let files = [("HEAD", "ref: refs/heads/main\n"), ("config", &text), ("objects/x", ""), ("refs/x", "")];
    files.map(|(name, text)| (format!("../../../.git/{name}"), text.to_owned())).into()
}

/// Answers as S3 does, by plain HTTP, until the test's process ends.
struct Bucket {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    /// One with a module, and these other files, each with its path as seen from the module's directory.
    fn start(more: impl FnOnce(u16) -> Vec<(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let mut files = more(port);
        files.push((MODULE.0.to_owned(), MODULE.1.to_owned()));
        let heard = Arc::<Mutex<Vec<String>>>::default();
        let to = Arc::clone(&heard);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that hangs up is no fault of ours.
                let _ = serve(&stream, &files, &to);
            }
        });
        Self { port, heard }
    }

    fn has_heard(&self, path: &str) -> bool {
        self.heard.lock().unwrap().iter().any(|heard| heard.starts_with(path))
    }

    fn source(&self, query: &str) -> String {
        format!("s3::http://127.0.0.1:{}/bucket/key?region=us-east-1&{query}", self.port)
    }

    /// A module of it, and one of this source, which comes later by its name.
    fn main(&self, then: Option<&str>) -> String {
        let module = |name: &str, source: &str| format!("module \"{name}\" {{\n  source = \"{source}\"\n}}\n");
        let first = module("a", &self.source("aws_access_key_id=x&aws_access_key_secret=y"));
        first + &then.map(|source| module("b", source)).unwrap_or_default()
    }
}

fn serve(stream: &TcpStream, files: &[(String, String)], heard: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().transpose()?.unwrap_or_default();
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    heard.lock().unwrap().push(path.clone());
    let key = |name: &str| format!("<Contents><Key>key/{name}</Key></Contents>");
    let listing = || files.iter().map(|(name, _)| key(name)).collect::<String>();
    let file = files.iter().find(|(name, _)| path.split('?').next() == Some(&format!("/bucket/key/{name}")));
    let body = match file {
        Some((_, content)) => content.clone(),
        None => format!("<ListBucketResult><IsTruncated>false</IsTruncated>{}</ListBucketResult>", listing()),
    };
    (&*stream).write_all(&respond(&[("Content-Type", "application/xml")], body.as_bytes()))
}

/// From a module's directory to the directory that the configuration lies in.
const OUT: &str = "../../../..";

/// tofu alone, with the configuration in `work` and the home beside it.
fn alone(place: &Path, main: &str) -> Option<String> {
    let tofu = require::tofu()?;
    write(&place.join("work/main.tf"), main);
    fs::create_dir(place.join("home")).unwrap();
    let mut get = command(tofu);
    get.args(["get", "-no-color"]).current_dir(place.join("work")).env_clear();
    get.env("PATH", "/usr/bin:/bin").env("HOME", place.join("home"));
    Some(run(get).unwrap().all())
}

/// What a source has planted is started by another one of tofu alone, and in no run in either sandbox.
fn is_not_started(more: fn(u16) -> Vec<(String, String)>, then: impl Fn(&Bucket) -> String, failure: &str) {
    if require::program("perl").is_none() {
        return;
    }
    let control = Bucket::start(more);
    let directory = tempfile::tempdir().unwrap();
    let Some(said) = alone(directory.path(), &control.main(Some(&then(&control)))) else { return };
    assert!(control.has_heard("/ran"), "the control: {said}");
    for sandbox in ["auto", "process"] {
        let bucket = Bucket::start(more);
        let agent = ["--sandbox", sandbox];
        let setup = if sandbox == "auto" { Setup::default() } else { Setup { agent: &agent, ..Setup::default() } };
        let Some(world) = World::with(setup) else { return };
        let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
        shelf.store(&world);
        let main = format!("{}{}", shelf.main(), bucket.main(Some(&then(&bucket))));
        let said = world.apply(&world.configuration(&main), 1);
        // It had come that far.
        assert!(said.contains(failure) && bucket.has_heard("/bucket/key/../"), "{sandbox}: {said}");
        assert!(!bucket.has_heard("/ran"), "{sandbox}: {said}");
    }
}

#[test]
fn no_program_of_settings_that_a_source_has_planted_runs_in_the_fetch_step() {
    is_not_started(of_aws, |bucket| bucket.source("aws_profile=spy"), "aws_profile=spy");
}

#[test]
fn git_reads_no_repository_that_a_source_has_planted_where_it_is_started() {
    is_not_started(of_git, |_| "git::https://h.invalid/r".to_owned(), "h.invalid/r");
}

#[test]
fn googles_library_starts_nothing_that_a_home_names() {
    let Some(tofu) = require::tofu() else { return };
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| place.path().join(name);
    write(&at("x"), &format!("#!/bin/sh\ntouch {}\n", at("ran").display()));
    fs::set_permissions(at("x"), fs::Permissions::from_mode(0o755)).unwrap();
    let settings = format!("{{\"libs\":{{\"ecp\":\"{}\"}}}}", at("x").display());
    write(&at("home/.config/gcloud/certificate_config.json"), &settings);
    let main = "module \"g\" {\n  source = \"gcs::https://www.googleapis.com/storage/v1/none/path\"\n}\n";
    write(&at("work/main.tf"), main);
    let mut get = command(tofu);
    get.args(["get", "-no-color"]).current_dir(at("work")).env_clear();
    get.env("PATH", "/usr/bin:/bin").env("HOME", at("home"));
    let control = run(get).unwrap();
    assert!(at("ran").exists(), "the control: {}", control.all());
    fs::remove_file(at("ran")).unwrap();
    // Where what is planted there could be started: of its home the operator gives what is its.
    let home = at("home").display().to_string();
    let agent = ["--sandbox", "process", "--home", &home];
    let Some(world) = World::with(Setup { agent: &agent, ..Setup::default() }) else { return };
    let said = world.apply(&world.configuration(main), 1);
    assert!(said.contains("storage/v1/none/path") && !at("ran").exists(), "{said}");
    let refused =
        world.types(&["variable", "set", "GOOGLE_API_CERTIFICATE_CONFIG", "c.json", "--kind", "env", "-w", "demo"]);
    assert!(refused.code == Some(1) && refused.all().contains("may not be set"), "{}", refused.all());
}

#[test]
fn a_source_that_writes_into_the_configuration_ends_its_run() {
    let local = |_| vec![("../../../zz_override.tf".to_owned(), "terraform {\n  backend \"local\" {}\n}\n".to_owned())];
    let control = Bucket::start(local);
    let directory = tempfile::tempdir().unwrap();
    let Some(said) = alone(directory.path(), &control.main(None)) else { return };
    assert!(directory.path().join("work/zz_override.tf").exists(), "the control: {said}");
    let bucket = Bucket::start(local);
    let Some(world) = World::start() else { return };
    let said = world.apply(&world.configuration(&bucket.main(None)), 1);
    assert!(said.contains("`configuration/zz_override.tf` was made"), "{said}");
    assert!(!said.contains("(tofu init)"), "{said}");
    // One that stays in its own directory is an ordinary module.
    let harmless = Bucket::start(|_| vec![("more.tf".to_owned(), String::new())]);
    let said = world.apply(&world.configuration(&harmless.main(None)), 0);
    assert!(said.contains("nigari: plan (tofu plan)"), "{said}");
}
