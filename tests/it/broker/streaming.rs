//! A blob passes piece by piece: it arrives before it is sent to its end, and of what nobody takes little is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use nigari::gateway::broker::{Broker, Plan};
use nigari::registry::upstream::Patience;
use reqwest::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use super::{PATIENCE, child, credential, open_with};
use crate::registry::stage::{Authority, basic};

const MIB: usize = 1024 * 1024;
static PIECE: [u8; 64 * 1024] = [b'x'; 64 * 1024];

/// A registry with one blob.
struct Blob {
    port: u16,
    written: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
    task: JoinHandle<()>,
}

impl Blob {
    /// Of so many bytes; once `first` of them are written the rest waits for [`Blob::go_on`].
    fn start(authority: &Authority, size: usize, first: usize) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        // What is written has left the registry, but for this.
        socket.set_send_buffer_size(64 * 1024).unwrap();
        socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
        let listener = socket.listen(16).unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(authority.listener(&["registry.localhost"], 2100)));
        let (written, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let (count, wait) = (Arc::clone(&written), Arc::clone(&go_on));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                if !asks_with_credential(&mut stream).await {
                    let _ = stream.write_all(&basic()).await;
                    let _ = stream.shutdown().await;
                    continue;
                }
                let _ = stream.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n").as_bytes()).await;
                while count.load(Ordering::SeqCst) < size {
                    if count.load(Ordering::SeqCst) == first {
                        wait.notified().await;
                    }
                    if stream.write_all(&PIECE).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                    count.fetch_add(PIECE.len(), Ordering::SeqCst);
                }
                let _ = stream.shutdown().await;
            }
        });
        Self { port, written, go_on, task }
    }

    fn url(&self, path: &str) -> String {
        format!("https://registry.localhost:{}{path}", self.port)
    }

    fn written(&self) -> usize {
        self.written.load(Ordering::SeqCst)
    }

    /// Waits until no more of it goes away, and gives how much has.
    async fn stands_still(&self) -> usize {
        loop {
            let before = self.written();
            tokio::time::sleep(Duration::from_secs(3)).await;
            if self.written() == before {
                return before;
            }
        }
    }

    /// A broker with its credential that waits longer than these tests do, and the blob by it.
    async fn pulled(&self, authority: &Authority) -> (Broker, Response) {
        let patience = Patience { stall: Duration::from_mins(2), ..PATIENCE };
        let credentials = vec![credential(&self.url(""), authority)];
        let broker = open_with(Plan { credentials, patience, ..Plan::default() }).await;
        let asked = child(&broker, authority).get(self.url("/v2/team/net/blobs/sha256:0")).send();
        let answer = asked.await.unwrap();
        assert_eq!(answer.status(), 200);
        (broker, answer)
    }
}

impl Drop for Blob {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn asks_with_credential(stream: &mut (impl AsyncReadExt + Unpin)) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return false,
        }
    }
    String::from_utf8_lossy(&head).to_ascii_lowercase().contains("\r\nauthorization: basic ")
}

/// Takes of an answer until there is enough, or its end.
async fn take(answer: &mut Response, enough: usize) -> usize {
    let mut bytes = 0;
    while bytes < enough
        && let Some(piece) = answer.chunk().await.unwrap()
    {
        bytes += piece.len();
    }
    bytes
}

#[tokio::test]
async fn a_blob_arrives_before_its_end_is_sent() {
    let authority = Authority::new();
    let blob = Blob::start(&authority, 16 * MIB, 8 * MIB);
    let (_broker, mut answer) = blob.pulled(&authority).await;
    let first = take(&mut answer, MIB).await;
    assert!(first >= MIB && blob.written() <= 8 * MIB, "{first} of {}", blob.written());
    blob.go_on.notify_one();
    assert_eq!(first + take(&mut answer, usize::MAX).await, 16 * MIB);
}

#[tokio::test]
async fn of_a_blob_that_nobody_takes_little_is_read() {
    let authority = Authority::new();
    let blob = Blob::start(&authority, 256 * MIB, usize::MAX);
    let (_broker, mut answer) = blob.pulled(&authority).await;
    let first = take(&mut answer, 1).await;
    let read = blob.stands_still().await;
    // Nearly all of it is the kernel's: two connections' buffers.
    assert!(read < 32 * MIB, "{read} bytes were read for a client that took {first}");
    // And it goes on where it stood.
    assert!(take(&mut answer, read).await >= read && blob.written() > read);
}
