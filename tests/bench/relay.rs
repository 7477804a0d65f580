//! Counts the requests of one run: a relay between agent and server that reads request lines as they pass.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use support::{Failure, Outcome};

use crate::world::World;

/// What passed between the run's claim and its end.
pub(crate) struct Counted {
    /// Requests that the agent makes for itself.
    pub(crate) own: usize,
    /// Requests that it passes on for tofu.
    pub(crate) state: usize,
    /// The agent's own, one line each.
    pub(crate) lines: Vec<String>,
}

type Lines = Arc<Mutex<Vec<String>>>;

/// Starts a world of its own and watches one run, after one that nobody counts.
pub(crate) fn requests_of_one_run(nigari: &Path, tofu: &Path, registry: &Path) -> Outcome<Counted> {
    let directory = tempfile::tempdir()?;
    let lines = Lines::default();
    let seen = Arc::clone(&lines);
    let mut world = World::start_behind(nigari, tofu, registry, directory.path(), &mut |url| relay(url, &seen))?;
    world.run()?;
    thread::sleep(Duration::from_secs(1));
    let before = lock(&lines).len();
    world.run()?;
    thread::sleep(Duration::from_secs(1));
    let all: Vec<String> = lock(&lines).iter().skip(before).cloned().collect();
    let (state, own): (Vec<String>, Vec<String>) = all.into_iter().partition(|line| line.contains("/state"));
    Ok(Counted { own: own.len(), state: state.len(), lines: own })
}

fn lock(lines: &Lines) -> std::sync::MutexGuard<'_, Vec<String>> {
    lines.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens on loopback for as long as the program runs; the URL that leads through it.
fn relay(server: &str, lines: &Lines) -> Outcome<String> {
    let target = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}", listener.local_addr()?);
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(upstream) = TcpStream::connect(&target) else { continue };
            let (Ok(client_again), Ok(upstream_again)) = (client.try_clone(), upstream.try_clone()) else { continue };
            let lines = Arc::clone(&lines);
            thread::spawn(move || pass(client, upstream, Some(&lines)));
            thread::spawn(move || pass(upstream_again, client_again, None));
        }
    });
    if url.is_empty() { Err(Failure::new("no address")) } else { Ok(url) }
}

fn pass(mut from: TcpStream, mut to: TcpStream, lines: Option<&Lines>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(lines) = lines {
            // A request begins with its own write; bodies that look like one do not occur here.
            let text = String::from_utf8_lossy(&buffer[..count]);
            let line = text.lines().next().unwrap_or_default();
            if line.ends_with(" HTTP/1.1") {
                lock(lines).push(line.trim_end_matches(" HTTP/1.1").to_owned());
            }
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
