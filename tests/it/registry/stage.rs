//! A TLS listener in this process that does what no real registry can be made to do, and remembers what it was sent.
//!
//! Rule: only for faults. Whatever a real registry does is tested with the real one.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nigari::protocol::api::ConnectionTest;
use nigari::registry::{TestTarget, test_connection};
use nigari::secret::Secret;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What every hostile registry is given.
pub(crate) const USER: &str = "robot$net";
/// The password that nobody but its registry may see.
pub(crate) const PASSWORD: &str = "geheim-4711-wort";

/// One authority for all listeners of a test.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        nigari::tls::install_provider();
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(Vec::new()).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "stage authority");
        let pem = parameters.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(parameters, key) }
    }

    /// A certificate for these names, until that year.
    pub(crate) fn listener(&self, names: &[&str], until: i32) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut parameters = CertificateParams::new(names).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, "stage leaf");
        parameters.not_before = rcgen::date_time_ymd(2001, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key).unwrap()
    }
}

/// What a listener does after a request's head.
pub(crate) enum Act {
    /// Answers, then closes.
    Say(Vec<u8>),
    /// Answers, then goes on with bytes for as long as anybody reads.
    SayForEver(Vec<u8>),
    /// Answers, then one byte now and then.
    SayAndDrip(Vec<u8>),
    /// Says nothing.
    Stall,
    /// Closes without a word.
    Close,
}

/// A request as it came.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    /// `GET /v2/ HTTP/1.1`
    pub(crate) line: String,
    /// The whole head.
    pub(crate) head: String,
}

impl Heard {
    pub(crate) fn authorization(&self) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("authorization").then_some(value.trim())
        })
    }
}

/// A listener on loopback.
pub(crate) struct Stage {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<Heard>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Stage {
    /// Listens with a good certificate.
    pub(crate) async fn start(authority: &Authority, act: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        Self::with(authority.listener(&["localhost", "registry.localhost", "127.0.0.1"], 2100), act).await
    }

    pub(crate) async fn with(config: ServerConfig, act: impl Fn(&Heard) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (memory, act) = (Arc::clone(&heard), Arc::new(act));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, memory, act) = (acceptor.clone(), Arc::clone(&memory), Arc::clone(&act));
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    serve(stream, &memory, &*act).await;
                });
            }
        });
        Self { port, heard, task }
    }

    /// `localhost:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// Nobody has shown this listener any authorisation.
    pub(crate) fn must_not_have_seen_a_credential(&self) {
        for heard in self.heard() {
            assert!(heard.authorization().is_none(), "{}", heard.head);
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S>(mut stream: S, memory: &Mutex<Vec<Heard>>, act: &(impl Fn(&Heard) -> Act + Send + Sync))
where
    S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let request = Heard { line: head.lines().next().unwrap_or_default().to_owned(), head };
    memory.lock().unwrap().push(request.clone());
    match act(&request) {
        Act::Say(bytes) => drop(stream.write_all(&bytes).await),
        Act::SayForEver(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(&[b'a'; 4096]).await.is_ok() {}
        }
        Act::SayAndDrip(bytes) => {
            let _ = stream.write_all(&bytes).await;
            while stream.write_all(b" ").await.is_ok() && stream.flush().await.is_ok() {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        Act::Stall => tokio::time::sleep(Duration::from_mins(5)).await,
        Act::Close => return,
    }
    let _ = stream.shutdown().await;
}

/// An answer with status line, headers and body.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (length, headers) = (body.len(), headers.concat());
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

/// 401 that names a token service.
pub(crate) fn bearer(realm: &str) -> Vec<u8> {
    answer("401 Unauthorized", &[("WWW-Authenticate", &format!("Bearer realm=\"{realm}\",service=\"s\""))], "")
}

/// 401 that wants Basic.
pub(crate) fn basic() -> Vec<u8> {
    answer("401 Unauthorized", &[("WWW-Authenticate", "Basic realm=\"r\"")], "")
}

/// Tests a host with the hostile tests' credential; its secret must be in no word of the result.
pub(crate) async fn test(host: &str, ca_pem: Option<&str>, repository: Option<&str>) -> ConnectionTest {
    test_held_to(None, host, ca_pem, repository).await
}

/// The same for an integration that is held to a token service.
pub(crate) async fn test_held_to(
    token_service: Option<&str>,
    host: &str,
    ca_pem: Option<&str>,
    repository: Option<&str>,
) -> ConnectionTest {
    let result = test_connection(TestTarget {
        address: &host.parse().unwrap(),
        username: USER,
        secret: &Secret::from(PASSWORD),
        ca_pem,
        token_service,
        repository,
    })
    .await;
    let text = format!("{result:?}");
    assert!(!text.contains(PASSWORD) && !text.contains("Z2VoZWlt"), "{text}");
    result
}
