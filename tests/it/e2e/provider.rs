//! A hostile provider, which looks at everything in reach while tofu plans and while it applies, and its reports.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use support::canary::Canary;
use support::require;
use support::search::Search;
use support::tools::hostile_mirror;
use tempfile::TempDir;

/// The operator's mirror with the provider in it, and where it sends what it sees.
pub(super) struct Hostile {
    directory: TempDir,
    version: &'static str,
    /// When it began, in seconds: what is older has nothing of its test.
    since: i64,
    port: u16,
    listener: Option<JoinHandle<Vec<File>>>,
    taken: Vec<File>,
}

impl Hostile {
    /// Takes every report into a file of its own, which has no name that the next look could find.
    pub(super) fn start() -> Option<Self> {
        let program = require::provider_hostile()?;
        let directory = tempfile::tempdir().unwrap();
        let mirror = directory.path().join("mirror");
        let version = hostile_mirror(&program, &mirror).unwrap();
        let since = fs::metadata(directory.path()).unwrap().ctime();
        // Agents of other users have it too.
        fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let take = move || listener.incoming().map_while(|stream| receive(&stream.unwrap())).collect();
        let listener = Some(std::thread::spawn(take));
        Some(Self { directory, version, since, port, listener, taken: Vec::new() })
    }

    /// The operator's CLI configuration.
    pub(super) fn settings(&self) -> String {
        let mirror = self.directory.path().join("mirror");
        format!("provider_installation {{\n  filesystem_mirror {{\n    path = \"{}\"\n  }}\n}}\n", mirror.display())
    }

    /// The provider's resource: what it walks, and what it fetches.
    pub(super) fn resource(&self, places: &[&Path], fetched: &[String]) -> String {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!(
            "terraform {{\n  required_providers {{\n    hostile = {{\n      source  = \"nigari/hostile\"\n      version = \
             \"{}\"\n    }}\n  }}\n}}\nresource \"hostile_look\" \"it\" {{\n  report = \"http://127.0.0.1:{}/\"\n  places = \
             \"{}\"\n  since  = {}\n  fetch  = \"{}\"\n}}\n",
            self.version,
            self.port,
            places.join(":"),
            self.since,
            fetched.join(" ")
        )
    }

    /// The reports that have come, as long as this lives; there will be no more.
    pub(super) fn reports(&mut self) -> Vec<PathBuf> {
        // A connection without a request ends the listener.
        drop(TcpStream::connect(("127.0.0.1", self.port)).unwrap());
        self.taken = self.listener.take().unwrap().join().unwrap();
        self.taken.retain(|file| file.metadata().unwrap().len() > 0);
        self.taken.iter().map(|file| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))).collect()
    }
}

/// One chunked request into a file, answered with 204; `None` when there was none.
fn receive(stream: &TcpStream) -> Option<File> {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut line = String::new();
    if reader.read_line(&mut line).unwrap() == 0 {
        return None;
    }
    let mut to = tempfile::tempfile().unwrap();
    while {
        line.clear();
        reader.read_line(&mut line).unwrap() > 0
    } && line != "\r\n"
    {}
    loop {
        line.clear();
        reader.read_line(&mut line).unwrap();
        // Whoever was killed in the middle of it has reported so much.
        let Ok(length) = u64::from_str_radix(line.trim_end(), 16) else { return Some(to) };
        std::io::copy(&mut reader.by_ref().take(length), &mut to).unwrap();
        reader.read_line(&mut String::new()).unwrap();
        if length == 0 {
            break;
        }
    }
    let mut stream = stream;
    stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
    Some(to)
}

/// In how many places and forms a report has any of these.
pub(super) fn hits(canaries: &[Canary], report: &Path) -> usize {
    let mut search = Search::new(canaries);
    search.file(report);
    search.hits().len()
}
