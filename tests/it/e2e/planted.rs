//! An S3 source whose listing has `..` in its keys: tofu writes where its author likes (A20).
//!
//! Rule: what it does to tofu alone is shown first, with the same sources.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
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

/// What the AWS SDK gives to a shell, and what that tells the bucket.
fn settings(port: u16) -> String {
    format!(
        "[profile spy]\nregion = us-east-1\ncredential_process = perl -MIO::Socket::INET -e 'print \
         {{IO::Socket::INET->new(q(127.0.0.1:{port}))}} qq(GET /ran HTTP/1.0\\r\\n\\r\\n)'\n"
    )
}

/// Answers as S3 does, by plain HTTP, until the test's process ends.
struct Bucket {
    port: u16,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Bucket {
    /// One with a module, and another file that comes to `path`, as seen from the module's directory.
    fn start(path: &str, content: impl FnOnce(u16) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let files = [(MODULE.0.to_owned(), MODULE.1.to_owned()), (path.to_owned(), content(port))];
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

    /// A module of it, and one that is asked for with a profile of AWS's settings, which comes later by its name.
    fn main(&self, has_profile: bool) -> String {
        let module = |name: &str, query: &str| {
            let url = format!("s3::http://127.0.0.1:{}/bucket/key?region=us-east-1&{query}", self.port);
            format!("module \"{name}\" {{\n  source = \"{url}\"\n}}\n")
        };
        let with_profile = if has_profile { module("b", "aws_profile=spy") } else { String::new() };
        module("a", "aws_access_key_id=x&aws_access_key_secret=y") + &with_profile
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
    std::fs::create_dir(place.join("home")).unwrap();
    let mut get = command(tofu);
    get.args(["get", "-no-color"]).current_dir(place.join("work")).env_clear();
    get.env("PATH", "/usr/bin:/bin").env("HOME", place.join("home"));
    Some(run(get).unwrap().all())
}

#[test]
fn no_program_of_settings_that_a_source_has_planted_runs_in_the_fetch_step() {
    if require::program("perl").is_none() {
        return;
    }
    let place = format!("{OUT}/home/.aws/config");
    let control = Bucket::start(&place, settings);
    let directory = tempfile::tempdir().unwrap();
    let Some(said) = alone(directory.path(), &control.main(true)) else { return };
    assert!(control.has_heard("/ran"), "the control: {said}");
    for sandbox in ["auto", "process"] {
        let bucket = Bucket::start(&place, settings);
        let Some(world) = World::with(Setup { agent: &["--sandbox", sandbox], ..Setup::default() }) else { return };
        let Some(shelf) = Shelf::start(&world.canaries[0].password) else { return };
        shelf.store(&world);
        let said = world.apply(&world.configuration(&format!("{}{}", shelf.main(), bucket.main(true))), 1);
        // It had come that far.
        assert!(said.contains("aws_profile=spy") && bucket.has_heard("/bucket/key/../"), "{sandbox}: {said}");
        assert!(!bucket.has_heard("/ran"), "{sandbox}: {said}");
    }
}

#[test]
fn a_source_that_writes_into_the_configuration_ends_its_run() {
    let place = "../../../zz_override.tf";
    let local = |_| "terraform {\n  backend \"local\" {}\n}\n".to_owned();
    let control = Bucket::start(place, local);
    let directory = tempfile::tempdir().unwrap();
    let Some(said) = alone(directory.path(), &control.main(false)) else { return };
    assert!(directory.path().join("work/zz_override.tf").exists(), "the control: {said}");
    let bucket = Bucket::start(place, local);
    let Some(world) = World::start() else { return };
    let said = world.apply(&world.configuration(&bucket.main(false)), 1);
    assert!(said.contains("`zz_override.tf` of the configuration was made"), "{said}");
    assert!(!said.contains("(tofu init)"), "{said}");
    // One that stays in its own directory is an ordinary module.
    let harmless = Bucket::start("more.tf", |_| String::new());
    let said = world.apply(&world.configuration(&harmless.main(false)), 0);
    assert!(said.contains("- a in .terraform/modules/a"), "{said}");
}
