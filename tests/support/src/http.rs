//! A very small HTTP/1.1 client over a Unix socket or plain loopback.
//!
//! Rule: one request per connection, no TLS. Whatever speaks TLS in a test is a real client (tofu, nigari, skopeo).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::failure::{During as _, Failure, Outcome};

/// An answer, its body read to the end.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Header lines, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, chunks put together.
    pub body: Vec<u8>,
}

impl Answer {
    /// The first header of that (lower-case) name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request; `target` is the path with its query.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET`, `PUT`, …
    pub method: &'a str,
    /// Path and query.
    pub target: &'a str,
    /// Header lines besides `Host`, `Connection` and `Content-Length`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

impl Request<'_> {
    /// Sends it to the listener on a Unix socket.
    pub fn over_socket(&self, socket: &Path) -> Outcome<Answer> {
        let stream = UnixStream::connect(socket).during(socket.display())?;
        stream.set_read_timeout(Some(Duration::from_mins(1))).during("socket")?;
        self.exchange(stream)
    }

    /// Sends it to a plain listener on loopback.
    pub fn over_loopback(&self, port: u16) -> Outcome<Answer> {
        let stream = TcpStream::connect(("127.0.0.1", port)).during(format_args!("127.0.0.1:{port}"))?;
        stream.set_read_timeout(Some(Duration::from_mins(1))).during("socket")?;
        self.exchange(stream)
    }

    fn exchange(&self, mut stream: impl Read + Write) -> Outcome<Answer> {
        let mut head = format!("{} {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n", self.method, self.target);
        for (name, value) in self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head.extend(["Content-Length: ", &self.body.len().to_string(), "\r\n\r\n"]);
        let what = format!("{} {}", self.method, self.target);
        stream.write_all(head.as_bytes()).during(&what)?;
        stream.write_all(self.body).during(&what)?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).during(&what)?;
        parse(&bytes).ok_or_else(|| Failure::new(format!("{what}: the answer is not HTTP")))
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let answer = Answer { status, headers, body: bytes[end + 4..].to_vec() };
    if answer.header("transfer-encoding") == Some("chunked") {
        let body = unchunk(&answer.body)?;
        return Some(Answer { body, ..answer });
    }
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|window| window == b"\r\n")?;
        let size = usize::from_str_radix(str::from_utf8(&rest[..end]).ok()?.split(';').next()?.trim(), 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(rest.get(end + 2..end + 2 + size)?);
        rest = rest.get(end + 2 + size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn chunks_are_put_together() {
        let answer =
            parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n")
                .unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (200, "abcde"));
    }

    #[test]
    fn what_is_not_http_is_refused() {
        assert!(parse(b"SSH-2.0-OpenSSH\r\n\r\n").is_none());
        assert!(parse(b"HTTP/1.1 200 OK\r\n").is_none());
    }
}
