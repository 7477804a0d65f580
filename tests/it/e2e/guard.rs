//! A listener in front of a registry that takes exactly one login, to the last byte.
//!
//! Rule: it takes nothing off the registry: what passes is asked of the real one, with the same login. It is there because
//! bcrypt, in which the registry keeps passwords, looks at 72 bytes, and so takes whatever begins alike.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, HOST, HeaderValue, TRANSFER_ENCODING, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use support::registry::{NAMES, Registry};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// Listens as long as it lives.
pub(super) struct Guard {
    port: u16,
    _runtime: Runtime,
}

/// Whom it lets through, and where to.
struct Gate {
    login: HeaderValue,
    registry: String,
    client: reqwest::Client,
}

impl Guard {
    /// In front of `registry`, by the registry's own authority and names.
    pub(super) fn start(registry: &Registry, user: &str, password: &str) -> Self {
        nigari::tls::install_provider();
        let leaf = registry.authority().leaf(&NAMES);
        let certificate = CertificateDer::from_pem_slice(leaf.certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(leaf.key.as_bytes()).unwrap();
        let tls = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();
        let authority = reqwest::Certificate::from_pem(registry.authority().pem().as_bytes()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only([authority]).timeout(Duration::from_mins(1));
        let gate = Gate {
            login: format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))).try_into().unwrap(),
            registry: format!("https://localhost:{}", registry.port()),
            client: client.no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(listen(listener, TlsAcceptor::from(Arc::new(tls)), Arc::new(gate)));
        Self { port, _runtime: runtime }
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }
}

async fn listen(listener: TcpListener, acceptor: TlsAcceptor, gate: Arc<Gate>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, gate) = (acceptor.clone(), Arc::clone(&gate));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request| {
                let gate = Arc::clone(&gate);
                async move { Ok::<_, Infallible>(gate.answer(request).await) }
            });
            // A client that hangs up is no fault of ours.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Gate {
    /// Without a login the registry itself says what it wants.
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        if request.headers().get(AUTHORIZATION).is_some_and(|shown| shown != self.login) {
            let mut refused = Response::new(Full::from("another login"));
            *refused.status_mut() = StatusCode::UNAUTHORIZED;
            refused.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"guard\""));
            return refused;
        }
        let (head, _) = request.into_parts();
        let mut headers = head.headers;
        headers.remove(HOST);
        let address = format!("{}{}", self.registry, head.uri.path_and_query().map_or("/", |path| path.as_str()));
        let asked = self.client.request(head.method, address).headers(headers).send().await.unwrap();
        let (status, mut headers) = (asked.status(), asked.headers().clone());
        headers.remove(TRANSFER_ENCODING);
        let mut answer = Response::new(Full::from(asked.bytes().await.unwrap()));
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        answer
    }
}
