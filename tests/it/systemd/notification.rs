//! What the service manager is told, and when.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use support::child::Child;

use crate::cli::nigari;

const LIMIT: Duration = Duration::from_secs(30);

/// The socket of a service manager.
struct ServiceSocket(UnixDatagram);

impl ServiceSocket {
    fn listen(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        Self(socket)
    }

    /// Waits for a message with that line.
    fn wait_for(&self, line: &str) {
        let begun = Instant::now();
        let mut message = [0; 4096];
        loop {
            let length = self.0.recv(&mut message).unwrap_or_else(|error| panic!("no {line}: {error}"));
            let text = String::from_utf8_lossy(&message[..length]).into_owned();
            if text.lines().any(|said| said == line) {
                return;
            }
            assert!(begun.elapsed() < LIMIT, "no {line}, but {text}");
        }
    }
}

#[test]
fn the_server_tells_when_it_listens_lives_and_stops() {
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("notify");
    let socket_of_systemd = ServiceSocket::listen(&socket);
    let mut start = nigari(home.path(), &["server", "start", "--listen", "127.0.0.1:0"]);
    start.env("NOTIFY_SOCKET", &socket).env("WATCHDOG_USEC", "600000").env("NIGARI_LOG_FORMAT", "json");
    let mut server = Child::start("server", start, &home.path().join("log")).unwrap();
    socket_of_systemd.wait_for("READY=1");
    let address = home.path().join(".local/state/nigari/server/address");
    assert!(address.is_file(), "READY came before the address");
    socket_of_systemd.wait_for("WATCHDOG=1");
    server.signal(Signal::TERM).unwrap();
    socket_of_systemd.wait_for("STOPPING=1");
    assert_eq!(server.wait(LIMIT).unwrap().code(), Some(0));
    let lines: Vec<serde_json::Value> = server
        .log()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}")))
        .collect();
    assert!(lines.iter().any(|line| line["fields"]["message"] == "listening"), "{lines:?}");
}

#[test]
fn a_log_filter_that_is_none_is_told() {
    let home = tempfile::tempdir().unwrap();
    let mut start = nigari(home.path(), &["server", "start", "--listen", "127.0.0.1:0"]);
    start.env("NIGARI_LOG", "nigari=loudly");
    let mut server = Child::start("server", start, &home.path().join("log")).unwrap();
    server.wait_for_line("NIGARI_LOG is not a filter", LIMIT).unwrap();
}
