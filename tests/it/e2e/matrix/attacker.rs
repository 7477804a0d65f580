//! Whoever takes what an attack sends away, on loopback.
//!
//! Rule: it answers so that a run goes on: one run can then try many attacks. Reports come as `=== NAME`, lines, `=== end`
//! and are answered with one line; everything else is HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use support::canary::Canary;
use support::module::Package;
use support::search::Search;

/// What `terraform_remote_state` takes for a state.
const STATE: &str = "{\"version\":4,\"terraform_version\":\"1.12.6\",\"serial\":1,\"lineage\":\"x\",\"outputs\":{},\
                     \"resources\":[],\"check_results\":null}";

/// The report that is answered only when somebody has looked from outside.
pub(super) const OUTSIDE: &str = "outside";

type Look = Box<dyn Fn() -> Vec<u8> + Send>;

/// What it has taken.
#[derive(Default)]
struct Taken {
    reports: Vec<(String, Vec<u8>)>,
    /// Heads of requests.
    requests: Vec<String>,
}

/// Listens until the test's process ends.
pub(super) struct Attacker {
    pub(super) port: u16,
    taken: Arc<Mutex<Taken>>,
    look: Arc<Mutex<Option<Look>>>,
}

impl Attacker {
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (taken, look) = (Arc::<Mutex<Taken>>::default(), Arc::<Mutex<Option<Look>>>::default());
        let (to, looks) = (Arc::clone(&taken), Arc::clone(&look));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (to, looks) = (Arc::clone(&to), Arc::clone(&looks));
                // A victim that hangs up is no fault of ours.
                thread::spawn(move || drop(serve(&stream, &to, &looks)));
            }
        });
        Self { port, taken, look }
    }

    /// From now on somebody looks from outside while a report [`OUTSIDE`] waits for its answer.
    pub(super) fn looks(&self, look: impl Fn() -> Vec<u8> + Send + 'static) {
        *self.look.lock().unwrap() = Some(Box::new(look));
    }

    /// Forgets what it has.
    pub(super) fn forget(&self) {
        *self.taken.lock().unwrap() = Taken::default();
    }

    /// All reports of that name, together.
    pub(super) fn report(&self, name: &str) -> Option<Vec<u8>> {
        let taken = self.taken.lock().unwrap();
        let reports: Vec<&Vec<u8>> =
            taken.reports.iter().filter(|(known, _)| known == name).map(|(_, report)| report).collect();
        (!reports.is_empty()).then(|| reports.into_iter().flatten().copied().collect())
    }

    /// The names of all reports.
    pub(super) fn names(&self) -> Vec<String> {
        self.taken.lock().unwrap().reports.iter().map(|(name, _)| name.clone()).collect()
    }

    /// What came as the query of a module `name`, turned around again and decoded.
    pub(super) fn loot(&self, name: &str) -> Option<Vec<u8>> {
        let taken = self.taken.lock().unwrap();
        let start = format!("/{name}.zip?loot=");
        let sent = taken.requests.iter().find_map(|head| head.split(&start).nth(1)?.split([' ', '&']).next())?;
        let turned: String = sent.replace("%3D", "=").replace('-', "+").replace('_', "/").chars().rev().collect();
        Some(STANDARD.decode(turned).unwrap())
    }

    /// The login (`user:password`) with which a state was asked for.
    pub(super) fn login(&self) -> Option<String> {
        let taken = self.taken.lock().unwrap();
        let asked = taken.requests.iter().filter(|head| head.contains(" /state"));
        let login = asked.flat_map(|head| head.lines()).find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("authorization").then(|| value.strip_prefix("Basic ").map(str::to_owned))?
        })?;
        Some(String::from_utf8(STANDARD.decode(login).unwrap()).unwrap())
    }

    /// Everything that was taken, for a search.
    pub(super) fn everything(&self) -> Vec<u8> {
        let taken = self.taken.lock().unwrap();
        let requests = taken.requests.iter().map(String::as_bytes);
        let all = taken.reports.iter().map(|(_, report)| report.as_slice()).chain(requests);
        all.collect::<Vec<_>>().join(&b'\n')
    }
}

/// Whether a canary is in what somebody has, in any form.
pub(super) fn has(canary: &Canary, bytes: &[u8]) -> bool {
    let mut search = Search::new(std::slice::from_ref(canary));
    search.bytes("what the attacker has", bytes);
    !search.hits().is_empty()
}

fn serve(stream: &TcpStream, taken: &Mutex<Taken>, look: &Mutex<Option<Look>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_mins(1)))?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = Vec::new();
    reader.read_until(b'\n', &mut first)?;
    let first = String::from_utf8_lossy(&first).into_owned();
    let Some(name) = first.trim_end().strip_prefix("=== ") else {
        return answer(stream, &mut reader, first, taken);
    };
    let mut report = Vec::new();
    loop {
        let mut line = Vec::new();
        let count = reader.read_until(b'\n', &mut line)?;
        if count == 0 || line == b"=== end\n" {
            break;
        }
        report.extend(line);
    }
    if name == OUTSIDE
        && let Some(look) = &*look.lock().unwrap()
    {
        report = look();
    }
    taken.lock().unwrap().reports.push((name.to_owned(), report));
    let mut stream = stream;
    stream.write_all(b"go\n")
}

/// A module without anything in it, or a state.
fn answer(
    mut stream: &TcpStream,
    reader: &mut BufReader<TcpStream>,
    first: String,
    taken: &Mutex<Taken>,
) -> std::io::Result<()> {
    let mut head = first;
    loop {
        let mut line = String::new();
        if reader.by_ref().take(64 * 1024).read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        head.push_str(&line);
    }
    let (kind, body) = if head.contains(" /state") {
        ("application/json", STATE.as_bytes().to_vec())
    } else {
        ("application/zip", Package::new(&[("main.tf", "# nothing\n")]).zip)
    };
    let is_head = head.starts_with("HEAD ");
    taken.lock().unwrap().requests.push(head);
    let headers = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(headers.as_bytes())?;
    if is_head { Ok(()) } else { stream.write_all(&body) }
}
