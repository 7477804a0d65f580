//! The log against a scripted server.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;

use super::{LogSink, Pace, SinkError, open};

/// What the server does with one request.
enum Act {
    Take,
    /// Stores the bytes and loses the answer.
    TakeAndLose,
    Away,
    Refuse,
}

#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Act>>>,
    stored: Arc<Mutex<Vec<u8>>>,
    requests: Arc<Mutex<usize>>,
}

impl Server {
    fn acting(script: impl IntoIterator<Item = Act>) -> Self {
        Self { script: Arc::new(Mutex::new(script.into_iter().collect())), ..Self::default() }
    }

    fn text(&self) -> String {
        String::from_utf8(self.stored.lock().unwrap().clone()).unwrap()
    }
}

impl LogSink for Server {
    async fn append(&self, offset: u64, bytes: Bytes) -> Result<u64, SinkError> {
        *self.requests.lock().unwrap() += 1;
        let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Take);
        let mut stored = self.stored.lock().unwrap();
        let here = stored.len() as u64;
        match act {
            Act::Away => return Err(SinkError::Away("connection refused".into())),
            Act::Refuse => return Err(SinkError::Refused("too large".into())),
            Act::Take | Act::TakeAndLose if offset != here => return Err(SinkError::Offset(here)),
            Act::Take | Act::TakeAndLose => stored.extend_from_slice(&bytes),
        }
        if matches!(act, Act::TakeAndLose) {
            return Err(SinkError::Away("answer lost".into()));
        }
        Ok(stored.len() as u64)
    }
}

const PATIENCE: Duration = Duration::from_secs(30);

fn pace(room: usize) -> Pace {
    Pace { flush: Duration::from_millis(20), stall: Duration::from_millis(50), room }
}

#[tokio::test]
async fn what_is_written_together_is_sent_together() {
    let server = Server::default();
    let (log, spool) = open(server.clone(), Pace::default());
    for word in ["a", "b", "c"] {
        log.write(word.as_bytes()).await;
    }
    assert_eq!(spool.finish(PATIENCE).await, 3);
    assert_eq!((server.text().as_str(), *server.requests.lock().unwrap()), ("abc", 1));
}

#[tokio::test]
async fn data_is_sent_before_the_end_when_it_waits() {
    let server = Server::default();
    let (log, _spool) = open(server.clone(), pace(1 << 20));
    log.note("hello");
    let has_come = async {
        while server.text().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), has_come).await.unwrap();
    assert_eq!(server.text(), "nigari: hello\n");
}

#[tokio::test]
async fn a_lost_answer_neither_doubles_nor_loses() {
    let server = Server::acting([Act::TakeAndLose, Act::Take, Act::Away, Act::TakeAndLose]);
    let (log, spool) = open(server.clone(), pace(1 << 20));
    log.write(b"first ").await;
    tokio::time::sleep(Duration::from_millis(60)).await;
    log.write(b"second").await;
    assert_eq!(spool.finish(PATIENCE).await, 12);
    assert_eq!(server.text(), "first second");
}

#[tokio::test]
async fn tofu_does_not_wait_for_ever_and_the_gap_is_named() {
    let server = Server::acting((0..4).map(|_| Act::Away));
    let (log, spool) = open(server.clone(), pace(8));
    for chunk in [b"11111111", b"22222222", b"33333333", b"44444444"] {
        tokio::time::timeout(Duration::from_secs(10), log.write(chunk)).await.unwrap();
    }
    let sent = spool.finish(PATIENCE).await;
    let text = server.text();
    assert_eq!(sent, text.len() as u64);
    assert!(text.starts_with("11111111") && text.contains("bytes of output were dropped"), "{text}");
}

#[tokio::test]
async fn a_server_that_refuses_does_not_stop_the_run() {
    let server = Server::acting([Act::Refuse]);
    let (log, spool) = open(server.clone(), pace(4));
    for _ in 0..100 {
        tokio::time::timeout(Duration::from_secs(10), log.write(b"xxxx")).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(spool.finish(PATIENCE).await, 0);
}

#[tokio::test]
async fn patience_with_an_absent_server_ends() {
    let server = Server::acting((0..1000).map(|_| Act::Away));
    let (log, spool) = open(server, pace(100));
    log.note("x");
    assert_eq!(spool.finish(Duration::from_millis(300)).await, 0);
}
