//! A log whose phase was begun anew by another claim, from a small server in this process: a real one shows it only
//! when an agent dies at the right moment.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use super::{file, nigari};
use support::child::{Finished, run};

/// Answers requests as `answer` says, for the life of the test's process.
fn serve(answer: impl Fn(&str) -> (u64, i64, bool, &'static str) + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let target = lines.next().unwrap().unwrap();
            while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
            let (next, epoch, complete, body) = answer(&target);
            let head = format!(
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/octet-stream\r\nnigari-offset: \
                 {next}\r\nnigari-epoch: {epoch}\r\nnigari-complete: {complete}\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).unwrap();
        }
    });
    url
}

/// A server whose first log of the plan is followed by another claim's.
fn anew(asked: &'static AtomicBool) -> String {
    serve(move |target| match target {
        target if target.contains("/logs/apply") => (0, 0, true, ""),
        target if target.contains("offset=4") => (9, 2, true, "anew\n"),
        target if target.contains("offset=0") => first(asked),
        _ => (9, 2, true, ""),
    })
}

/// What `nigari run logs` says with such a server.
fn logs(asked: &'static AtomicBool, more: &[&str]) -> Finished {
    let server = anew(asked);
    let home = tempfile::tempdir().unwrap();
    let token = file(&home.path().join("token"), "ngr_user_x\n", 0o600);
    let id = "run-01a1fd86582072059141fd60117b5c25";
    let words = [&["run", "logs", id, "--server", &server, "--token-file", &token], more].concat();
    let said = run(nigari(home.path(), &words)).unwrap();
    assert_eq!(said.code, Some(0), "{}", said.all());
    said
}

#[test]
fn the_log_of_a_phase_that_began_anew_is_read_from_its_beginning() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let said = logs(&ASKED, &[]);
    assert_eq!(said.out, "old\nall anew\n", "{}", said.err);
    assert!(said.err.contains("begun anew"), "{}", said.err);
}

#[test]
fn as_data_the_log_of_a_phase_that_began_anew_is_the_last_claims_alone() {
    static ASKED: AtomicBool = AtomicBool::new(false);
    let logs: Value = serde_json::from_str(&logs(&ASKED, &["--json"]).out).unwrap();
    assert_eq!(logs, json!([{ "phase": "plan", "epoch": 2, "complete": true, "text": "all anew\n" }]));
}

/// The first claim's log when it is asked for first, then the second's.
fn first(asked: &AtomicBool) -> (u64, i64, bool, &'static str) {
    if asked.swap(true, Ordering::SeqCst) { (9, 2, true, "all anew\n") } else { (4, 1, false, "old\n") }
}
