//! Somebody between agent and server, who changes one byte of an answer, and hides what it should sum up to.
//!
//! Rule: a fault that the real server cannot be made to show; everything else is passed on as it is.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// The header with the sum of the body.
const DIGEST: &[u8] = b"nigari-digest:";

/// It listens until the test's process ends.
pub(super) struct Meddler {
    port: u16,
    meddled: Arc<AtomicBool>,
}

impl Meddler {
    /// In front of `server`; answers to a GET whose target ends with `target` come changed.
    pub(super) fn between(server: &str, target: &str) -> Self {
        let server = server.trim_end_matches('/').rsplit_once('/').unwrap().1.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let meddled = Arc::new(AtomicBool::new(false));
        let (target, seen) = (target.to_owned(), Arc::clone(&meddled));
        thread::spawn(move || {
            for agent in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { continue };
                pass(agent, server, &target, &seen);
            }
        });
        Self { port, meddled }
    }

    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(super) fn has_meddled(&self) -> bool {
        self.meddled.load(Ordering::Relaxed)
    }
}

/// Both directions of one connection, each in a thread of its own.
fn pass(agent: TcpStream, server: TcpStream, target: &str, seen: &Arc<AtomicBool>) {
    let wanted = Arc::new(AtomicBool::new(false));
    let (mut from_agent, mut to_agent) = (agent.try_clone().unwrap(), agent);
    let (mut from_server, mut to_server) = (server.try_clone().unwrap(), server);
    let (asked, target) = (Arc::clone(&wanted), target.to_owned());
    thread::spawn(move || {
        copy(&mut from_agent, &mut to_server, |bytes| {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().next().unwrap_or_default();
            asked.store(line.starts_with("GET ") && line.contains(&target), Ordering::Relaxed);
        });
    });
    let seen = Arc::clone(seen);
    thread::spawn(move || {
        copy(&mut from_server, &mut to_agent, |bytes| {
            if !wanted.load(Ordering::Relaxed) {
                return;
            }
            if let Some(at) = bytes.windows(DIGEST.len()).position(|window| window == DIGEST) {
                bytes[at] = b'x';
            }
            // A piece without a head can end like one: the last chunk does.
            let head = bytes.windows(4).position(|window| window == b"\r\n\r\n").map_or(0, |at| at + 4);
            let head = if bytes.starts_with(b"HTTP/") { head } else { 0 };
            if bytes.len() > head + 20 {
                // In the middle of the body, past the head of a chunk.
                let middle = head + (bytes.len() - head) / 2;
                bytes[middle] ^= 1;
                wanted.store(false, Ordering::Relaxed);
                seen.store(true, Ordering::Relaxed);
            }
        });
    });
}

fn copy(from: &mut TcpStream, to: &mut TcpStream, mut look: impl FnMut(&mut [u8])) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        look(&mut buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
}
