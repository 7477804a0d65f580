//! What a registry may do that no registry should: one line each.

use support::module::digest as digest_of;

use crate::registry::stage::{Act, Heard, PASSWORD, answer, basic, bearer};

/// What a child should see.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Want {
    /// This status.
    Status(u16),
    /// This status, and the body of a good manifest.
    Body(u16),
    /// A head, and then a body that breaks off.
    Broken,
}

/// One behaviour.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) want: Want,
    /// Given what was heard, the number of the request, and the sentinel's port.
    pub(crate) act: fn(&Heard, usize, u16) -> Act,
    /// What the broker has to have told in the end, as fault or note; empty for nothing.
    pub(crate) told: &'static str,
}

/// The manifest of a registry that behaves.
pub(crate) const GOOD: &str = r#"{"schemaVersion":2}"#;

const SAFE: &str = "never handed on";
const ELSEWHERE: &str = "is shown no credential";

/// Does this once the credential was shown.
fn then(heard: &Heard, bytes: Vec<u8>) -> Act {
    Act::Say(if heard.authorization().is_some() { bytes } else { basic() })
}

fn redirect(heard: &Heard, location: &str) -> Act {
    then(heard, answer("307 Temporary Redirect", &[("Location", location)], ""))
}

fn own(heard: &Heard) -> String {
    heard.head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

/// A token service on the registry itself that answers so.
fn with_service(heard: &Heard, service: impl FnOnce() -> Act) -> Act {
    if heard.line.starts_with("GET /token") {
        return service();
    }
    Act::Say(bearer(&format!("https://{}/token", own(heard))))
}

fn head(length: u64) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").into_bytes()
}

fn say(text: &str) -> Act {
    Act::Say(text.as_bytes().to_vec())
}

macro_rules! cases {
    ($($name:literal => $want:expr, $told:expr, $act:expr;)*) => {
        &[$(Case { name: $name, want: $want, act: $act, told: $told }),*]
    };
}

/// All of them.
#[rustfmt::skip]
pub(crate) const CASES: &[Case] = cases! {
    "a blob on another port" => Want::Status(307), "", |heard, _, port| redirect(heard, &format!("https://registry.localhost:{port}/x"));
    "a blob on another host" => Want::Status(307), "", |heard, _, port| redirect(heard, &format!("https://localhost:{port}/x"));
    "a redirect to itself" => Want::Status(307), "", |heard, _, _| redirect(heard, "/v2/team/net/manifests/1");
    "a redirect to plain http" => Want::Status(502), SAFE, |heard, _, port| redirect(heard, &format!("http://registry.localhost:{port}/x"));
    "a redirect to the metadata address" => Want::Status(502), SAFE, |heard, _, _| redirect(heard, "https://169.254.169.254/latest");
    "the same in hexadecimal" => Want::Status(502), SAFE, |heard, _, _| redirect(heard, "https://0xa9fea9fe/latest");
    "the same in IPv6" => Want::Status(502), SAFE, |heard, _, _| redirect(heard, "https://[::ffff:169.254.169.254]/");
    "a redirect with a user" => Want::Status(502), SAFE, |heard, _, port| redirect(heard, &format!("https://u:p@registry.localhost:{port}/"));
    "a redirect to a file" => Want::Status(502), SAFE, |heard, _, _| redirect(heard, "file:///etc/passwd");
    "a realm in plain http" => Want::Status(502), ELSEWHERE, |_, _, port| Act::Say(bearer(&format!("http://registry.localhost:{port}/token")));
    "a realm at the metadata address" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(bearer("https://169.254.169.254/token"));
    "a realm with a user" => Want::Status(502), ELSEWHERE, |_, _, port| Act::Say(bearer(&format!("https://u:p@registry.localhost:{port}/token")));
    "a realm at a loopback address" => Want::Status(502), ELSEWHERE, |_, _, port| Act::Say(bearer(&format!("https://127.1:{port}/token")));
    "a realm at another local name" => Want::Status(502), ELSEWHERE, |_, _, port| Act::Say(bearer(&format!("https://localhost:{port}/token")));
    "a realm at a private address" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(bearer("https://10.0.0.1/token"));
    "a realm at a public address by number" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(bearer("https://8.8.8.8/token"));
    "a realm with a fragment" => Want::Status(502), ELSEWHERE, |_, _, port| Act::Say(bearer(&format!("https://registry.localhost:{port}/token#x")));
    "a realm that is none" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(bearer("//evil.example/token"));
    "no realm" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(answer("401 No", &[("WWW-Authenticate", "Bearer service=\"x\"")], ""));
    "a very long realm" => Want::Status(502), ELSEWHERE, |_, _, _| Act::Say(bearer(&format!("https://r.example/{}", "a".repeat(3000))));
    "an evil realm before a good scheme" => Want::Status(502), ELSEWHERE, |_, _, _| {
        let evil = ("WWW-Authenticate", "Bearer realm=\"http://evil.example/token\"");
        Act::Say(answer("401 No", &[evil, ("WWW-Authenticate", "Basic realm=\"r\"")], ""))
    };
    "Basic for ever" => Want::Status(401), "refuses the credential of the registry integration `ours`", |_, _, _| Act::Say(basic());
    "Bearer for ever" => Want::Status(401), "refuses the credential", |heard, _, _| with_service(heard, || Act::Say(answer("200 OK", &[], r#"{"token":"abc"}"#)));
    "Basic, then Bearer elsewhere" => Want::Status(401), "refuses the credential", |heard, _, port| {
        Act::Say(if heard.authorization().is_some() { bearer(&format!("https://registry.localhost:{port}/token")) } else { basic() })
    };
    "Negotiate" => Want::Status(401), "status 401", |_, _, _| Act::Say(answer("401 No", &[("WWW-Authenticate", "Negotiate")], ""));
    "401 without a challenge" => Want::Status(401), "status 401", |_, _, _| Act::Say(answer("401 No", &[], ""));
    "a token service that redirects" => Want::Status(502), "with status 302", |heard, _, port| {
        let to = format!("https://registry.localhost:{port}/token");
        with_service(heard, || Act::Say(answer("302 Found", &[("Location", &to)], "")))
    };
    "a token service without an end" => Want::Status(502), "too large", |heard, _, _| with_service(heard, || Act::SayForEver(head(1 << 40)));
    "a token service with a web page" => Want::Status(502), "with status 200", |heard, _, _| with_service(heard, || Act::Say(answer("200 OK", &[("Content-Type", "text/html")], "<html>")));
    "a token with a line end" => Want::Status(502), "without a token", |heard, _, _| with_service(heard, || Act::Say(answer("200 OK", &[], r#"{"token":"a\r\nX: y"}"#)));
    "a token service that says no" => Want::Status(403), "refuses the credential", |heard, _, _| with_service(heard, || Act::Say(answer("403 No", &[], "")));
    "a manifest without an end" => Want::Broken, "more than 4194304 bytes", |heard, _, _| if heard.authorization().is_some() { Act::SayForEver(head(1 << 40)) } else { Act::Say(basic()) };
    "a manifest by the drop" => Want::Broken, "broke off", |heard, _, _| if heard.authorization().is_some() { Act::SayAndDrip(head(100_000)) } else { Act::Say(basic()) };
    "silence" => Want::Status(504), "did not answer in time", |_, _, _| Act::Stall;
    "a cut connection" => Want::Status(502), "cut", |_, _, _| Act::Close;
    "a cut body" => Want::Broken, "broke off", |heard, _, _| then(heard, [head(1000), b"{".to_vec()].concat());
    "broken chunks" => Want::Broken, "broke off", |heard, _, _| then(heard, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n".to_vec());
    "a wrong digest" => Want::Body(200), "has not the digest", |heard, _, _| then(heard, answer("200 OK", &[("Docker-Content-Digest", &digest_of(b"other"))], GOOD));
    "a giant header" => Want::Status(502), "not HTTP", |heard, _, _| then(heard, answer("200 OK", &[("X-Giant", &"a".repeat(2_000_000))], GOOD));
    "too many headers in bytes" => Want::Status(502), "too many headers", |heard, _, _| then(heard, answer("200 OK", &[("X-Big", &"a".repeat(100_000))], GOOD));
    "too many headers" => Want::Status(502), "not HTTP", |heard, _, _| then(heard, format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(500)).into_bytes());
    "an upgrade to h2" => Want::Status(502), "", |heard, _, _| then(heard, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n".to_vec());
    "a frame of h2" => Want::Status(502), "not HTTP", |_, _, _| Act::Say(b"\0\0\x12\x04\0\0\0\0\0".to_vec());
    "no HTTP" => Want::Status(502), "not HTTP", |_, _, _| say("SSH-2.0-OpenSSH_9.6\r\n");
    "a web page" => Want::Status(200), "", |heard, _, _| then(heard, answer("200 OK", &[("Content-Type", "text/html")], "<html>"));
    "a proxy's word" => Want::Status(502), "makes no sense", |heard, _, _| then(heard, answer("407 No", &[("Proxy-Authenticate", "Basic realm=\"x\"")], ""));
    "a credential that comes back" => Want::Body(200), "", |heard, _, _| {
        let shown = heard.authorization().unwrap_or_default().to_owned();
        let headers = [("Set-Cookie", shown.as_str()), ("X-Echo", PASSWORD), ("WWW-Authenticate", shown.as_str())];
        then(heard, answer("200 OK", &headers, GOOD))
    };
    "forbidden" => Want::Status(403), "answered 403 for `team/net`", |heard, _, _| then(heard, answer("403 No", &[], ""));
    "429 with Retry-After, then success" => Want::Body(200), "", |heard, number, _| match number {
        0 => Act::Say(answer("429 Slow", &[("Retry-After", "1")], "")),
        _ => then(heard, answer("200 OK", &[], GOOD)),
    };
    "429 with a huge Retry-After" => Want::Status(429), "answered 429", |_, _, _| Act::Say(answer("429 Slow", &[("Retry-After", "99999999999999999999")], ""));
    "503 twice, then success" => Want::Body(200), "", |heard, number, _| match number {
        0 | 1 => Act::Say(answer("503 Oh", &[], "")),
        _ => then(heard, answer("200 OK", &[], GOOD)),
    };
    "a cut connection, then success" => Want::Body(200), "", |heard, number, _| match number {
        0 => Act::Close,
        _ => then(heard, answer("200 OK", &[], GOOD)),
    };
    "500 for ever" => Want::Status(500), "answered 500", |_, _, _| Act::Say(answer("500 Oh", &[], ""));
};
