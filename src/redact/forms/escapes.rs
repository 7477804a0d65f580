//! The escapes of JSON in its dialects, of Go, and of what base64 is put into.

use std::fmt::Write as _;

use zeroize::Zeroizing;

use super::rewrite;

/// Characters of base64 that something else escapes, and how.
pub(super) const OF_BASE64: [&[(char, &str)]; 4] = [
    &[('+', "%2B"), ('/', "%2F"), ('=', "%3D")],
    &[('+', "%2b"), ('/', "%2f"), ('=', "%3d")],
    &[('/', "\\/")],
    &[('+', "\\u002B")],
];

/// Base64 with these characters replaced.
pub(super) fn of_base64(form: &[u8], replaced: &[(char, &str)]) -> Zeroizing<String> {
    let mut written = Zeroizing::new(String::with_capacity(form.len() * 6));
    for character in form.iter().map(|byte| char::from(*byte)) {
        match replaced.iter().find(|(from, _)| *from == character) {
            Some((_, to)) => written.push_str(to),
            None => written.push(character),
        }
    }
    written
}

/// What a dialect of JSON does besides what it must.
#[derive(Clone, Copy)]
pub(super) struct Dialect {
    /// `\/`, as PHP.
    pub(super) slash: bool,
    /// Only ASCII; with upper-case digits, as .NET, or lower-case ones, as Python.
    pub(super) ascii: Option<bool>,
    /// These by number, with lower-case digits as Go or upper-case ones as .NET.
    pub(super) numbered: &'static str,
}

/// As `jq`, `JSON.stringify` and serde write it.
const PLAIN: Dialect = Dialect { slash: false, ascii: None, numbered: "" };
/// As Go writes it, and with it tofu.
const GO: Dialect = Dialect { slash: false, ascii: None, numbered: "<>&\u{2028}\u{2029}" };

/// Inside of a string of plain JSON.
pub(super) fn json(text: &str) -> Zeroizing<String> {
    in_dialect(text, PLAIN)
}

/// Inside of a string of Go's JSON.
pub(super) fn go_json(text: &str) -> Zeroizing<String> {
    in_dialect(text, GO)
}

/// Inside of a string of any dialect's.
pub(super) fn in_dialect(text: &str, dialect: Dialect) -> Zeroizing<String> {
    let upper = dialect.ascii == Some(true);
    rewrite(text, |out, character| match character {
        _ if dialect.numbered.contains(character) => number(out, character, upper),
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '/' if dialect.slash => out.push_str("\\/"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        _ if character < ' ' || (dialect.ascii.is_some() && !character.is_ascii()) => number(out, character, upper),
        _ => out.push(character),
    })
}

/// `\u00e9`, as two of UTF-16 where one is not enough.
fn number(out: &mut String, character: char, upper: bool) {
    for unit in character.encode_utf16(&mut [0; 2]) {
        let _ = if upper { write!(out, "\\u{unit:04X}") } else { write!(out, "\\u{unit:04x}") };
    }
}

/// Inside of the quotes of Go's `%q`, or `%+q` with ASCII alone; tofu shows strings so.
pub(super) fn go(text: &str, ascii: bool) -> Zeroizing<String> {
    rewrite(text, |out, character| match character {
        '"' | '\\' => out.extend(['\\', character]),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        '\u{7}' => out.push_str("\\a"),
        '\u{8}' => out.push_str("\\b"),
        '\u{b}' => out.push_str("\\v"),
        '\u{c}' => out.push_str("\\f"),
        _ if character.is_ascii_control() => {
            let _ = write!(out, "\\x{:02x}", u32::from(character));
        }
        _ if character.is_ascii() || !ascii => out.push(character),
        _ => {
            let code = u32::from(character);
            let _ = if code > 0xFFFF { write!(out, "\\U{code:08x}") } else { write!(out, "\\u{code:04x}") };
        }
    })
}
