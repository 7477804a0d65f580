//! What makes something else of a secret.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

/// A way in which a secret is printed.
pub(super) struct Carrier {
    pub(super) name: &'static str,
    pub(super) make: fn(user: &str, password: &str) -> Vec<u8>,
    /// Characters at the ends that hold more than the secret.
    pub(super) ends: usize,
}

const fn whole(name: &'static str, make: fn(&str, &str) -> Vec<u8>) -> Carrier {
    Carrier { name, make, ends: 0 }
}

const fn around(name: &'static str, make: fn(&str, &str) -> Vec<u8>, ends: usize) -> Carrier {
    Carrier { name, make, ends }
}

fn hexadecimal(password: &str) -> String {
    hex::encode(password)
}

fn wrapped(text: &str, width: usize, end: &str) -> Vec<u8> {
    let lines: Vec<&str> = text.as_bytes().chunks(width).map(|line| str::from_utf8(line).unwrap()).collect();
    lines.join(end).into()
}

fn percent(password: &str, left: &str) -> String {
    let letter = |byte: u8| {
        let is_left = byte.is_ascii_alphanumeric() || left.contains(char::from(byte));
        if is_left { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    password.bytes().map(letter).collect()
}

/// The digits behind each `%` in lower case.
fn lower(encoded: &str) -> String {
    let mut parts = encoded.split('%');
    let mut out = parts.next().unwrap().to_owned();
    for part in parts {
        out.extend(["%", &part[..2].to_lowercase(), &part[2..]]);
    }
    out
}

fn each(password: &str, write: impl Fn(char) -> String) -> Vec<u8> {
    password.chars().map(write).collect::<String>().into()
}

fn inside(text: &str) -> &str {
    &text[1..text.len() - 1]
}

fn ascii_json(password: &str) -> String {
    let json = serde_json::to_string(password).unwrap();
    let mut out = String::new();
    for letter in inside(&json).chars() {
        if letter.is_ascii() {
            out.push(letter);
        } else {
            out.extend(letter.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        }
    }
    out
}

fn auth(user: &str, password: &str) -> String {
    STANDARD.encode(format!("{user}:{password}"))
}

/// All of them.
pub(super) const CARRIERS: &[Carrier] = &[
    whole("as it is", |_, p| p.into()),
    whole("base64", |_, p| STANDARD.encode(p).into()),
    whole("base64 without padding", |_, p| STANDARD_NO_PAD.encode(p).into()),
    whole("base64url", |_, p| URL_SAFE.encode(p).into()),
    whole("base64url without padding", |_, p| URL_SAFE_NO_PAD.encode(p).into()),
    whole("echo | base64", |_, p| STANDARD.encode(format!("{p}\n")).into()),
    around("base64 at shift 1", |_, p| STANDARD.encode(format!("a{p}bc")).into(), 9),
    around("base64 at shift 2", |_, p| STANDARD.encode(format!("ab{p}c")).into(), 9),
    around("base64url at shift 1", |_, p| URL_SAFE.encode(format!("a{p}bc")).into(), 9),
    whole("docker's auth", |u, p| auth(u, p).into()),
    around("base64 of docker's file", |u, p| STANDARD.encode(format!("{{\"auth\":\"{}\"}}", auth(u, p))).into(), 20),
    around(
        "base64 of JSON",
        |_, p| STANDARD.encode(format!("{{\"p\":{}}}", serde_json::to_string(p).unwrap())).into(),
        14,
    ),
    whole("base64 in lines of 64", |u, p| wrapped(&auth(u, p), 64, "\n")),
    whole("base64 in lines of 76", |u, p| wrapped(&auth(u, p), 76, "\r\n")),
    whole("base64 in lines of 10, framed", |u, p| wrapped(&auth(u, p), 10, "\n\u{1b}[31m│\u{1b}[0m ")),
    whole("base64 in a URL", |_, p| percent(&STANDARD.encode(p), "-._~").into()),
    whole("percent", |_, p| percent(p, "-._~").into()),
    whole("percent, lower case", |_, p| lower(&percent(p, "-._~")).into()),
    whole("percent of JavaScript", |_, p| percent(p, "-._~!'()*").into()),
    whole("percent of Python", |_, p| percent(p, "-._~/").into()),
    whole("percent, all", |_, p| percent(p, "").bytes().collect()),
    whole("percent, everything", |_, p| p.bytes().flat_map(|byte| format!("%{byte:02X}").into_bytes()).collect()),
    whole("form", |_, p| url::form_urlencoded::byte_serialize(p.as_bytes()).collect::<String>().into()),
    whole("JSON", |_, p| inside(&serde_json::to_string(p).unwrap()).into()),
    whole("JSON, ASCII", |_, p| ascii_json(p).into()),
    whole("JSON with \\/", |_, p| inside(&serde_json::to_string(p).unwrap()).replace('/', "\\/").into()),
    whole("JSON of Go", |_, p| {
        let json = serde_json::to_string(p).unwrap();
        inside(&json).replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026").into()
    }),
    whole("JSON in JSON", |_, p| {
        let once = serde_json::to_string(p).unwrap();
        inside(&serde_json::to_string(inside(&once)).unwrap()).into()
    }),
    whole("%q of Go", |_, p| p.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n").into()),
    whole("HCL", |_, p| {
        let quoted = p.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        quoted.replace("${", "$${").replace("%{", "%%{").into()
    }),
    whole("shell, single quotes", |_, p| p.replace('\'', "'\\''").into()),
    whole("shell, double quotes", |_, p| {
        each(p, |letter| if "\\\"$`".contains(letter) { format!("\\{letter}") } else { letter.to_string() })
    }),
    whole("HTML", |_, p| {
        let text = p.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&#39;").into()
    }),
    whole("HTML of Go", |_, p| {
        let text = p.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&#34;").replace('\'', "&#39;").into()
    }),
    whole("XML", |_, p| {
        let text = p.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        text.replace('"', "&quot;").replace('\'', "&apos;").into()
    }),
    whole("hexadecimal", |_, p| hexadecimal(p).into()),
    whole("hexadecimal, upper case", |_, p| hexadecimal(p).to_uppercase().into()),
    whole("hexadecimal in lines", |_, p| wrapped(&hexadecimal(p), 60, "\n")),
    whole("UTF-16", |_, p| p.encode_utf16().flat_map(u16::to_le_bytes).collect()),
    whole("base64 of UTF-16", |_, p| {
        STANDARD.encode(p.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()).into()
    }),
    whole("coloured", |_, p| {
        each(p, |letter| format!("\u{1b}[1;31m{letter}\u{1b}[0m"))[..]
            .strip_prefix(b"\x1b[1;31m")
            .unwrap()
            .strip_suffix(b"\x1b[0m")
            .unwrap()
            .to_vec()
    }),
    whole("other line ends", |_, p| p.replace('\n', "\r\n   ").into()),
    whole("wrapped and framed", |_, p| p.replace([' ', '\n'], "\n│ ").into()),
];
