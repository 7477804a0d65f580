//! Listeners that do not speak HTTP, or speak it without end: an error in time, never a crash.

use std::sync::Arc;
use std::time::{Duration, Instant};

use nigari::client::{Client, ClientOptions, TokenSource};
use nigari::protocol::id::RunId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::house::WHOAMI;

/// Says `bytes` to every request; then closes, goes on with `drip` now and then, or with `flood` as fast as it can.
#[derive(Clone, Copy)]
enum Then {
    Close,
    Drip,
    Flood,
}

async fn client_of(bytes: Vec<u8>, then: Then) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let bytes = Arc::new(bytes);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let bytes = Arc::clone(&bytes);
            tokio::spawn(async move {
                let mut request = [0; 8192];
                let _ = stream.read(&mut request).await;
                let _ = stream.write_all(&bytes).await;
                match then {
                    Then::Close => drop(stream.shutdown().await),
                    Then::Drip => {
                        while stream.write_all(b" ").await.is_ok() {
                            tokio::time::sleep(Duration::from_millis(100)).await;
                        }
                    }
                    Then::Flood => while stream.write_all(&[b' '; 8192]).await.is_ok() {},
                }
            });
        }
    });
    let options = ClientOptions { timeout: Duration::from_secs(1), ..ClientOptions::default() };
    Client::new(url.parse().unwrap(), TokenSource::none(), options).unwrap()
}

#[tokio::test]
async fn garbage_is_an_error_in_time() {
    let ok = "HTTP/1.1 200 OK\r\n";
    let long = "a".repeat(100_000);
    for text in [
        String::new(),
        "\0\u{1}\u{2}".to_owned(),
        "HTTP/1.1".to_owned(),
        "HTTP/9.9 200 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 20 OK\r\n\r\n".to_owned(),
        "HTTP/1.1 999 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
        "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n".to_owned(),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000),
        format!("{ok}Content-Length: 9999\r\n\r\n{WHOAMI}"),
        format!("{ok}Content-Length: -1\r\n\r\n{WHOAMI}"),
        format!("{ok}Content-Length: 1\r\nContent-Length: 2\r\n\r\n{WHOAMI}"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\nzz\r\n{WHOAMI}"),
        format!("{ok}Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n{WHOAMI}"),
        format!("{ok}X: {}\r\n\r\n", long.repeat(10)),
        format!("{ok}{}\r\n", "X: y\r\n".repeat(1000)),
        format!("{ok}Content-Length: {}\r\n\r\n{}", long.len(), "[".repeat(long.len())),
        "SSH-2.0-OpenSSH_9.6\r\n".to_owned(),
    ] {
        let client = client_of(text.clone().into_bytes(), Then::Close).await;
        let began = Instant::now();
        let error = client.whoami().await.expect_err(&text);
        assert!(began.elapsed() < Duration::from_secs(10), "{error}");
        assert!(!error.to_string().is_empty());
    }
}

#[tokio::test]
async fn a_body_without_end_ends() {
    let head = b"HTTP/1.1 200 OK\r\nnigari-offset: 1\r\n\r\n".to_vec();
    let client = client_of(head.clone(), Then::Drip).await;
    let began = Instant::now();
    let error = client.whoami().await.unwrap_err();
    assert!(error.is_retryable() && began.elapsed() < Duration::from_secs(20), "{error}");

    let part = client.run_log(RunId::generate(), nigari::protocol::run::Phase::Plan, 0, None).await.unwrap();
    assert!(part.bytes.bytes().await.is_err());

    let client = client_of(head, Then::Flood).await;
    let error = client.whoami().await.unwrap_err();
    assert!(error.to_string().contains("more than"), "{error}");
}
