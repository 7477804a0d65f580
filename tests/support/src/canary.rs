//! Passwords that can be recognised, and every form in which they could leak.
//!
//! Rule: each canary is unique, so a hit tells which credential leaked; and a form that some program on the way could
//! make of it (encodings, quotings, at any byte shift) is as bad as the plain text.

use base64::alphabet::{Alphabet, STANDARD, URL_SAFE};
use base64::engine::Engine as _;
use base64::engine::general_purpose::{GeneralPurpose, NO_PAD};

use crate::child::random_hex;

/// Shorter needles would be found by chance.
const SHORTEST: usize = 6;

/// A user and a password that occur nowhere else.
#[derive(Debug, Clone)]
pub struct Canary {
    /// The user's name, which is no secret.
    pub user: String,
    /// The password.
    pub password: String,
}

/// One form of a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needle {
    /// What was made of what, for the report.
    pub form: String,
    /// The bytes to look for.
    pub bytes: Vec<u8>,
}

impl Canary {
    /// A password whose encodings differ from its text: it has `/ + : & % ~`.
    pub fn new(user: &str) -> Self {
        Self { user: user.to_owned(), password: format!("canary-{}~/+:&%", random_hex(10)) }
    }

    /// A password that breaks whatever quotes carelessly: `${`, both quotes, backslash, blank, non-ASCII.
    pub fn hard(user: &str) -> Self {
        Self { user: user.to_owned(), password: format!("${{canary}} {}:\"'\\%dé€", random_hex(10)) }
    }

    /// Text that somebody else made, such as a token; there is no user then.
    pub fn of(text: &str) -> Self {
        Self { user: String::new(), password: text.to_owned() }
    }

    /// Everything to look for.
    pub fn needles(&self) -> Vec<Needle> {
        let mut needles = Vec::new();
        forms("password", &self.password, &mut needles);
        if !self.user.is_empty() {
            forms("user:password", &format!("{}:{}", self.user, self.password), &mut needles);
        }
        let mut known = Vec::new();
        needles.retain(|needle| {
            let fresh = needle.bytes.len() >= SHORTEST && !known.contains(&needle.bytes);
            known.push(needle.bytes.clone());
            fresh
        });
        needles
    }
}

fn forms(what: &str, text: &str, needles: &mut Vec<Needle>) {
    let mut add = |form: &str, bytes: Vec<u8>| needles.push(Needle { form: format!("{what}, {form}"), bytes });
    add("plain", text.into());
    for (name, alphabet) in [("base64", &STANDARD), ("base64url", &URL_SAFE)] {
        for shift in 0..3 {
            add(&format!("{name} at shift {shift}"), base64_inside(text, alphabet, shift).into());
        }
    }
    let always = |_: char| true;
    let reserved = |letter: char| !(letter.is_ascii_alphanumeric() || "-._~".contains(letter));
    add("percent", percent(text, reserved, true).into());
    add("percent, lower case", percent(text, reserved, false).into());
    add("percent, full", percent(text, always, true).into());
    add("percent, full, lower case", percent(text, always, false).into());
    add("form", percent(text, reserved, true).replace("%20", "+").into());
    // What browsers and Go leave alone in the user information of a URL.
    add("URL", percent(text, |letter| reserved(letter) && !"$&+,;=!'()*:".contains(letter), true).into());
    let json = escaped(text, false);
    add("JSON with \\/", json.replace('/', "\\/").into());
    add("JSON of Go", json.replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e").into());
    add("JSON, ASCII only", escaped(text, true).into());
    add("JSON", json.into());
    add("shell, single quotes", text.replace('\'', "'\\''").into());
    let double = text.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$").replace('`', "\\`");
    add("shell, double quotes", double.into());
    add("HCL", escaped(text, false).replace("${", "$${").replace("%{", "%%{").into());
    add("HTML", html(text, "&quot;", "&apos;").into());
    add("HTML of Go", html(text, "&#34;", "&#39;").into());
    let hex = percent(text, always, false).replace('%', "");
    add("hexadecimal, upper case", hex.to_uppercase().into());
    add("hexadecimal", hex.into());
    add("UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect());
    add("reversed", text.chars().rev().collect::<String>().into());
}

/// The characters of base64 that depend on `text` alone when it begins `shift` bytes into a group of three.
fn base64_inside(text: &str, alphabet: &Alphabet, shift: usize) -> String {
    let bytes = [&[0; 2][..shift], text.as_bytes()].concat();
    let encoded = GeneralPurpose::new(alphabet, NO_PAD).encode(&bytes);
    encoded[(shift * 8).div_ceil(6)..bytes.len() * 8 / 6].to_owned()
}

fn percent(text: &str, encode: impl Fn(char) -> bool, upper: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        if !encode(letter) {
            out.push(letter);
            continue;
        }
        for byte in letter.encode_utf8(&mut [0; 4]).bytes() {
            let code = format!("%{byte:02x}");
            out.push_str(&if upper { code.to_uppercase() } else { code });
        }
    }
    out
}

/// As inside a JSON string, and in Go's `%q` for text without control characters.
fn escaped(text: &str, ascii: bool) -> String {
    let mut out = String::new();
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            letter if ascii && !letter.is_ascii() => {
                let mut units = [0; 2];
                out.extend(letter.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")));
            }
            letter => out.push(letter),
        }
    }
    out
}

fn html(text: &str, double: &str, single: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', double).replace('\'', single)
}

#[cfg(test)]
mod tests {
    use super::Canary;
    use crate::search::Search;
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

    fn found(canary: &Canary, leak: &str) -> bool {
        let mut search = Search::new(std::slice::from_ref(canary));
        search.bytes("leak", leak.as_bytes());
        !search.hits().is_empty()
    }

    #[test]
    fn base64_is_found_at_every_shift_and_wrapped() {
        for canary in [Canary::new("someone"), Canary::hard("someone")] {
            for before in ["", "a", "ab", "abc", "abcd"] {
                let text = format!("{before}{}", canary.password);
                assert!(found(&canary, &STANDARD.encode(format!("{text}xyz"))), "{before:?}");
                assert!(found(&canary, &URL_SAFE_NO_PAD.encode(&text)), "{before:?}");
            }
            let auth = STANDARD.encode(format!("someone:{}", canary.password));
            let wrapped: Vec<&str> = auth.as_bytes().chunks(19).map(|line| str::from_utf8(line).unwrap()).collect();
            assert!(found(&canary, &wrapped.join("\r\n")));
        }
    }

    #[test]
    fn text_is_found_in_json_urls_colours_and_utf16() {
        for canary in [Canary::new("someone"), Canary::hard("someone")] {
            assert!(found(&canary, &serde_json::to_string(&canary.password).unwrap()));
            let coloured: String =
                canary.password.chars().flat_map(|letter| ['\u{1b}', '[', '3', '1', 'm', letter]).collect();
            assert!(found(&canary, &coloured));
            let wide: Vec<u8> = canary.password.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let mut search = Search::new(std::slice::from_ref(&canary));
            search.bytes("leak", &wide);
            assert!(!search.hits().is_empty());
        }
        let canary = Canary::of("se cret/+:");
        for leak in
            ["https://u:se%20cret%2F%2B%3A@host", "a=se+cret%2F%2B%3A", "se%20cret%2f%2b%3a", "736520637265742f2b3a"]
        {
            assert!(found(&canary, leak), "{leak}");
        }
    }

    #[test]
    fn another_canary_is_not_found() {
        let (one, other) = (Canary::new("someone"), Canary::new("someone"));
        assert!(!found(&one, &other.password));
    }
}
