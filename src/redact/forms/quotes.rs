//! What stands between quotes: JSON, Go, HCL, shells, and languages that escape as they do.

use zeroize::Zeroizing;

use super::escapes::{self, Dialect};
use super::rewrite;

/// Before which a shell's `printf %q` puts a backslash.
const SHELL: &str = "|&;()<> !{}*[]?^$`'\"\\,\t";

/// The forms of a text.
pub(super) fn of(text: &str, add: &mut impl FnMut(&[u8])) {
    let mut add = |form: &str| {
        if form != text {
            add(form.as_bytes());
        }
    };
    json(text, &mut |form| add(&String::from_utf8_lossy(form)));
    for ascii in [false, true] {
        let go = escapes::go(text, ascii);
        add(&hcl(&go));
        add(&go);
    }
    add(&hcl(text));
    shell(text, &mut add);
    // SQL, YAML, CSV.
    for quote in ["'", "\""] {
        add(&Zeroizing::new(text.replace(quote, &quote.repeat(2))));
    }
}

/// The forms that a JSON string can have, and JSON in JSON.
pub(super) fn json(text: &str, add: &mut impl FnMut(&[u8])) {
    for ascii in [None, Some(false), Some(true)] {
        for slash in [false, true] {
            for numbered in ["", "<>&\u{2028}\u{2029}", "\"&'<>+`"] {
                add(escapes::in_dialect(text, Dialect { slash, ascii, numbered }).as_bytes());
            }
        }
    }
    for once in [escapes::json(text), escapes::go_json(text)] {
        add(escapes::json(&once).as_bytes());
        add(escapes::go_json(&once).as_bytes());
    }
}

/// `${` and `%{` begin something in HCL.
fn hcl(text: &str) -> Zeroizing<String> {
    let dollars = Zeroizing::new(text.replace("${", "$${"));
    Zeroizing::new(dollars.replace("%{", "%%{"))
}

fn shell(text: &str, add: &mut impl FnMut(&str)) {
    // Single quotes, both ways.
    add(&Zeroizing::new(text.replace('\'', "'\\''")));
    add(&Zeroizing::new(text.replace('\'', "'\"'\"'")));
    for before in ["\\\"$`", "\\\"$`!", SHELL] {
        add(&backslashed(text, before, false));
    }
    // `$'…'`, and what Python and others show.
    for before in ["\\'", "\\\"'", "\\", "\\\""] {
        add(&backslashed(text, before, true));
    }
}

/// With a backslash before these characters; control characters by their letters, where wanted.
fn backslashed(text: &str, before: &str, letters: bool) -> Zeroizing<String> {
    rewrite(text, |out, character| match character {
        '\n' if letters => out.push_str("\\n"),
        '\r' if letters => out.push_str("\\r"),
        '\t' if letters => out.push_str("\\t"),
        _ => {
            if before.contains(character) {
                out.push('\\');
            }
            out.push(character);
        }
    })
}
