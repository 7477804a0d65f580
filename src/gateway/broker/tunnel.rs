//! Everything that is no registry of this run: passed through as it comes.
//!
//! Rule: never to an address that is never contacted, through the operator's own proxy where there is one, and counted.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_util::io::InspectReader;

use super::record::Record;
use super::target::Target;
use crate::registry::{Unresolved, addresses};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// Bytes of the head with which a proxy answers.
const HEAD_BYTES: usize = 16 * 1024;

/// Why nothing is passed through.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    /// No address, or a forbidden one.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// No connection.
    #[error("no connection: {0}")]
    Connect(#[from] io::Error),
    /// It took too long.
    #[error("it did not answer in time")]
    TimedOut,
    /// The operator's proxy does not take part.
    #[error("the operator's proxy: {0}")]
    Proxy(&'static str),
}

/// Connects to where the child wants to go.
pub(super) async fn connect(target: &Target, proxies: &Matcher) -> Result<TcpStream, TunnelError> {
    let connected = async {
        let uri = format!("https://{target}/").parse().ok();
        let proxy = uri.and_then(|uri| proxies.intercept(&uri)).filter(|_| !target.is_here());
        if let Some(proxy) = proxy {
            return by_proxy(target, &proxy).await;
        }
        let addresses = addresses(&target.name(), target.port()).await?;
        Ok(TcpStream::connect(addresses.as_slice()).await?)
    };
    let stream = tokio::time::timeout(CONNECT, connected).await.map_err(|_| TunnelError::TimedOut)??;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn by_proxy(target: &Target, proxy: &Intercept) -> Result<TcpStream, TunnelError> {
    let uri = proxy.uri();
    // A literal that is never contacted is not asked for through somebody else either.
    if target.is_literal() {
        addresses(&target.name(), target.port()).await?;
    }
    if uri.scheme_str() != Some("http") {
        return Err(TunnelError::Proxy("only `http://` proxies are supported"));
    }
    let host = uri.host().ok_or(TunnelError::Proxy("its address has no host"))?;
    let mut stream = TcpStream::connect((host.trim_matches(['[', ']']), uri.port_u16().unwrap_or(80))).await?;
    let mut head = zeroize::Zeroizing::new(format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes());
    if let Some(authorization) = proxy.basic_auth() {
        head.extend_from_slice(b"Proxy-Authorization: ");
        head.extend_from_slice(authorization.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head).await?;
    let mut answer = Vec::new();
    // Byte by byte: what follows the head belongs to the child.
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= HEAD_BYTES {
            return Err(TunnelError::Proxy("its answer has no end"));
        }
        answer.push(stream.read_u8().await?);
    }
    match answer.get(..12) {
        Some(b"HTTP/1.1 200" | b"HTTP/1.0 200") => Ok(stream),
        Some(start) if start.ends_with(b" 407") => Err(TunnelError::Proxy("it wants another user or password (407)")),
        _ => Err(TunnelError::Proxy("it refuses the connection")),
    }
}

/// Passes bytes in both directions until both are done.
pub(super) async fn pass(
    child: impl AsyncRead + AsyncWrite + Unpin,
    outside: TcpStream,
    record: &Arc<Record>,
    host: &str,
) -> io::Result<()> {
    let (mut child_reads, mut child_writes) = tokio::io::split(child);
    let (outside_reads, mut outside_writes) = outside.into_split();
    let mut outside_reads = InspectReader::new(outside_reads, |bytes| record.passed_bytes(host, bytes.len()));
    let up = async {
        tokio::io::copy(&mut child_reads, &mut outside_writes).await?;
        outside_writes.shutdown().await
    };
    let down = async {
        tokio::io::copy(&mut outside_reads, &mut child_writes).await?;
        child_writes.shutdown().await
    };
    tokio::try_join!(up, down).map(drop)
}
