//! Quoted strings of HCL 1, both ways.
//!
//! Rules: reading follows `hcl/strconv` (escapes, `${…}` taken as it is); what we write has no `$`, because HCL 1 has
//! no way to take one literally but the escape `\u0024`, in the native and in the JSON form alike.

use std::fmt::Write;

/// The text of a quoted string, quotes included in `quoted`; `None` if it is not one.
pub(super) fn unquote(quoted: &str) -> Option<String> {
    let inner = quoted.strip_prefix('"')?.strip_suffix('"')?;
    let mut text = String::with_capacity(inner.len());
    let mut letters = inner.chars();
    let mut braces = 0_u32;
    while let Some(letter) = letters.next() {
        match letter {
            '$' if braces == 0 && letters.as_str().starts_with('{') => {
                letters.next();
                text.push_str("${");
                braces = 1;
            }
            '{' if braces > 0 => {
                braces += 1;
                text.push('{');
            }
            '}' if braces > 0 => {
                braces -= 1;
                text.push('}');
            }
            '\\' if braces == 0 => text.push(escape(&mut letters)?),
            letter => text.push(letter),
        }
    }
    Some(text)
}

fn escape(letters: &mut std::str::Chars<'_>) -> Option<char> {
    let letter = letters.next()?;
    let digits = match letter {
        'a' => return Some('\u{7}'),
        'b' => return Some('\u{8}'),
        'f' => return Some('\u{c}'),
        'n' => return Some('\n'),
        'r' => return Some('\r'),
        't' => return Some('\t'),
        'v' => return Some('\u{b}'),
        '\\' | '"' => return Some(letter),
        '0'..='7' => {
            let rest = take(letters, 2)?;
            return u32::from_str_radix(&format!("{letter}{rest}"), 8).ok().and_then(char::from_u32);
        }
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    u32::from_str_radix(&take(letters, digits)?, 16).ok().and_then(char::from_u32)
}

fn take(letters: &mut std::str::Chars<'_>, count: usize) -> Option<String> {
    let taken: String = letters.take(count).collect();
    (taken.len() == count && taken.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(taken)
}

/// `text` as a quoted string that both forms of HCL 1 read back as exactly `text`.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for letter in text.chars() {
        match letter {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '$' => quoted.push_str("\\u0024"),
            letter if letter.is_control() => {
                // Writing into a string cannot fail.
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{quote, unquote};

    #[test]
    fn escapes_are_resolved_as_hcl_1_does() {
        for (quoted, text) in [
            (r#""plain""#, "plain"),
            (r#""a\"b\\c\n""#, "a\"b\\c\n"),
            (r#""\u0024{x}\x41\101\U0001F600""#, "${x}AA😀"),
            (r#""${f("x\n")}\t""#, "${f(\"x\\n\")}\t"),
        ] {
            assert_eq!(unquote(quoted).as_deref(), Some(text), "{quoted}");
        }
        for broken in ["", "\"", "plain", r#""\/""#, r#""\u12""#, r#""\xzz""#, r#""\U00110000""#, "\"\\"] {
            assert_eq!(unquote(broken), None, "{broken}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back_and_has_no_dollar(text in "\\PC*|.*") {
            let quoted = quote(&text);
            prop_assert!(!quoted.contains('$') && !quoted.contains('\n'));
            prop_assert_eq!(unquote(&quoted), Some(text));
        }
    }
}
