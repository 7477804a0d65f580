//! Percent-encoding: every usual choice of what is left as it is, both cases, forms, and everything encoded.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::rewrite;

/// What is left besides letters and digits, and by whom.
const LEFT: [&str; 10] = [
    "",
    // RFC 3986, Go's `QueryEscape`, `curl --data-urlencode`.
    "-._~",
    // JavaScript's `encodeURIComponent` and `encodeURI`.
    "-._~!'()*",
    "-._~!'()*;/?:@&=+$,#",
    // Python's `quote`.
    "-._~/",
    // Go's `PathEscape` and user information of a URL; RFC 3986 allows more in the latter.
    "-._~$&+=:@",
    "-._~$&+,;=",
    "-._~$&+,;=!'()*:",
    // Rust's and browsers' user information of a URL.
    "-._~!$%&'()*+,",
    // HTML forms.
    "*-._",
];

/// The forms of a text.
pub(super) fn of(text: &str, add: &mut impl FnMut(&[u8])) {
    for left in LEFT {
        for case in [upper, lower] {
            let encoded = encode(text, |character| character.is_ascii_alphanumeric() || left.contains(character), case);
            if *encoded != text {
                add(encoded.as_bytes());
                if text.contains(' ') {
                    add(Zeroizing::new(encoded.replace("%20", "+")).as_bytes());
                }
            }
        }
    }
    for case in [upper, lower] {
        add(encode(text, |_| false, case).as_bytes());
    }
}

/// The form that most programs give a text in a URL.
pub(super) fn usual(text: &str, add: &mut impl FnMut(&[u8])) {
    for case in [upper, lower] {
        let encoded = encode(text, |character| character.is_ascii_alphanumeric() || "-._~".contains(character), case);
        if *encoded != text {
            add(encoded.as_bytes());
        }
    }
}

fn upper(out: &mut String, byte: u8) {
    let _ = write!(out, "%{byte:02X}");
}

fn lower(out: &mut String, byte: u8) {
    let _ = write!(out, "%{byte:02x}");
}

fn encode(text: &str, is_left: impl Fn(char) -> bool, write: fn(&mut String, u8)) -> Zeroizing<String> {
    rewrite(text, |out, character| {
        if is_left(character) {
            out.push(character);
        } else {
            character.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| write(out, byte));
        }
    })
}
