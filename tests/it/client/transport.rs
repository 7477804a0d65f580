//! Connections: kept, refused in plain off loopback, told apart when they fail.

use std::sync::Arc;
use std::time::Duration;

use nigari::client::{Client, ClientOptions, ErrorKind, ServerAddress, TokenSource};
use nigari::secret::Secret;
use tokio::net::TcpListener;

use super::house::{House, TOKEN, WHOAMI, json};

fn client(url: &str, ca_pem: Option<String>) -> Client {
    nigari::tls::install_provider();
    let options = ClientOptions { ca_pem, timeout: Duration::from_secs(2), ..ClientOptions::default() };
    Client::new(url.parse().unwrap(), TokenSource::fixed(Secret::from(TOKEN)), options).unwrap()
}

#[tokio::test]
async fn connections_are_kept() {
    let house = House::start((0..20).map(|_| json(200, WHOAMI))).await;
    let client = house.client();
    for _ in 0..8 {
        client.whoami().await.unwrap();
    }
    assert_eq!(house.connections(), 1);
    // Two at a time stay two.
    for _ in 0..6 {
        let (one, other) = tokio::join!(client.whoami(), client.whoami());
        one.and(other).unwrap();
    }
    assert!(house.connections() <= 2, "{}", house.connections());
}

#[tokio::test]
async fn plain_http_off_loopback_is_refused_before_anything_is_sent() {
    for url in ["http://nigari.example.com", "http://10.1.2.3:8080", "http://[fe80::1]"] {
        let error = url.parse::<ServerAddress>().unwrap_err();
        assert!(error.to_string().contains("https://"), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = client(&format!("http://localhost:{port}"), None).whoami().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Unreachable(Some(_))) && error.is_retryable(), "{error:?}");
    assert!(error.to_string().contains("refused; hint: is the server running"), "{error}");
    let error = client("https://no-such-host.invalid", None).whoami().await.unwrap_err();
    assert!(error.to_string().contains("cannot be resolved"), "{error}");
}

#[tokio::test]
async fn a_private_authority_must_be_given_and_is_then_enough() {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "our authority");
    let pem = authority.self_signed(&key).unwrap().pem();
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["localhost".to_owned()])
        .unwrap()
        .signed_by(&leaf_key, &rcgen::Issuer::new(authority, key))
        .unwrap();
    let directory = tempfile::tempdir().unwrap();
    let files = ["cert.pem", "key.pem"].map(|name| directory.path().join(name));
    std::fs::write(&files[0], leaf.pem()).unwrap();
    std::fs::write(&files[1], leaf_key.serialize_pem()).unwrap();

    nigari::tls::install_provider();
    let config = nigari::tls::server_config(&files[0], &files[1]).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut head = [0; 4096];
            let _ = stream.read(&mut head).await;
            let text =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{WHOAMI}", WHOAMI.len());
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    let url = format!("https://localhost:{port}");
    let error = client(&url, None).whoami().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Tls { .. }) && !error.is_retryable(), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("issuer `our authority`") && text.contains("--ca-file"), "{text}");
    let other = support::certificate::Authority::new("somebody else").pem();
    let text = client(&url, Some(other)).whoami().await.unwrap_err().to_string();
    assert!(text.contains("is not the one that issued it") && !text.contains("hint: give"), "{text}");
    client(&url, Some(pem)).whoami().await.unwrap();
    // TLS spoken to a plain listener.
    let house = House::start([]).await;
    let error = client(&house.url().replace("http://127.0.0.1", "https://localhost"), None).whoami().await.unwrap_err();
    assert!(error.to_string().contains("without TLS"), "{error}");
    task.abort();
}

#[tokio::test]
async fn a_token_that_no_header_can_carry_is_refused_before_anything_is_sent() {
    let house = House::start([]).await;
    let token = TokenSource::fixed(Secret::from("geheim\r\nx: y"));
    let client = Client::new(house.url().parse().unwrap(), token, ClientOptions::default()).unwrap();
    let error = client.whoami().await.unwrap_err();
    assert!(matches!(error.kind(), ErrorKind::Refused(_)) && !error.to_string().contains("geheim"), "{error}");
    let broken = ClientOptions { ca_pem: Some("nothing".to_owned()), ..ClientOptions::default() };
    let error = Client::new("https://x.example".parse().unwrap(), TokenSource::none(), broken).unwrap_err();
    assert!(error.to_string().contains("CA"), "{error}");
    assert!(house.asked().is_empty());
}
