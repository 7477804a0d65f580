//! XML and HTML: entities, by name and by number.

use std::fmt::Write as _;

use super::rewrite;

/// What is written for `"` and for `'`.
const QUOTES: [(&str, &str); 8] = [
    ("\"", "'"),
    ("&quot;", "'"),
    ("&quot;", "&apos;"),
    ("&quot;", "&#39;"),
    ("&quot;", "&#039;"),
    ("&quot;", "&#x27;"),
    ("&#34;", "&#39;"),
    ("&#x22;", "&#x27;"),
];

/// What is written for other characters than ASCII.
const WIDE: [fn(&mut String, char); 4] = [
    |out, character| out.push(character),
    |out, character| {
        let _ = write!(out, "&#{};", u32::from(character));
    },
    |out, character| {
        let _ = write!(out, "&#x{:x};", u32::from(character));
    },
    |out, character| {
        let _ = write!(out, "&#x{:X};", u32::from(character));
    },
];

/// The forms of a text.
pub(super) fn of(text: &str, add: &mut impl FnMut(&[u8])) {
    for (double, single) in QUOTES {
        let wide = if text.is_ascii() { &WIDE[..1] } else { &WIDE[..] };
        for write in wide {
            let form = rewrite(text, |out, character| match character {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str(double),
                '\'' => out.push_str(single),
                _ if character.is_ascii() => out.push(character),
                _ => write(out, character),
            });
            if *form != text {
                add(form.as_bytes());
            }
        }
    }
}
