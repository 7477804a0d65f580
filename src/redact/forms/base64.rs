//! Base64, in which the same text looks different at each of three places, and twice over.
//!
//! Rule: the characters that depend on the text alone are a form (`trimmed`), and the text up to its own end besides,
//! so that not even a part of its last byte stays. docker's `auth` is base64, and a Kubernetes secret is base64 of it.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

use super::{bytes, escapes};

/// Columns at which programs break base64.
const WIDTHS: [usize; 2] = [64, 76];
/// Characters of a piece that is looked for by itself.
const SHORTEST_PIECE: usize = 8;

/// The forms of a text: its own, what JSON makes of it, UTF-16; of base64 again.
pub(super) fn of_text(text: &str, add: &mut impl FnMut(&[u8])) {
    of(text.as_bytes(), add);
    for json in [escapes::json(text), escapes::go_json(text)] {
        if *json != text {
            of(json.as_bytes(), add);
        }
    }
    of(&bytes::utf16(text), add);
    of(&encode(&STANDARD, &[text.as_bytes()]), add);
}

/// The forms of some bytes.
pub(super) fn of(bytes: &[u8], add: &mut impl FnMut(&[u8])) {
    // `echo` adds a line end.
    for end in [&b""[..], b"\n"] {
        for shift in 0..3 {
            for engine in [&STANDARD, &URL_SAFE] {
                at(shift, engine, bytes, end, add);
            }
        }
        let whole = encode(&STANDARD, &[bytes, end]);
        for width in WIDTHS.into_iter().filter(|width| whole.len() > *width) {
            whole.chunks(width).filter(|piece| piece.len() >= SHORTEST_PIECE).for_each(&mut *add);
        }
    }
}

/// The same without line ends and lines.
pub(super) fn usual(bytes: &[u8], add: &mut impl FnMut(&[u8])) {
    for shift in 0..3 {
        at(shift, &STANDARD, bytes, b"", add);
    }
}

/// Where the text begins so many bytes into a group of three.
fn at(shift: usize, engine: &impl base64::Engine, bytes: &[u8], end: &[u8], add: &mut impl FnMut(&[u8])) {
    let encoded = encode(engine, &[&[0; 2][..shift], bytes, end]);
    let first = (shift * 8).div_ceil(6);
    let padding = encoded.iter().rev().take_while(|character| **character == b'=').count();
    let own = (shift + bytes.len() + end.len()) * 8 / 6;
    for last in [own, encoded.len() - padding, encoded.len()] {
        let Some(form) = encoded.get(first..last) else { continue };
        add(form);
        for replaced in escapes::OF_BASE64 {
            if form.iter().any(|byte| replaced.iter().any(|(from, _)| *from == char::from(*byte))) {
                add(escapes::of_base64(form, replaced).as_bytes());
            }
        }
    }
}

fn encode(engine: &impl base64::Engine, parts: &[&[u8]]) -> Zeroizing<Vec<u8>> {
    let whole = Zeroizing::new(parts.concat());
    let mut encoded = Zeroizing::new(vec![0; whole.len().div_ceil(3) * 4]);
    // The room is enough for any text.
    let written = engine.encode_slice(whole.as_slice(), &mut encoded).unwrap_or(0);
    encoded.truncate(written);
    encoded
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};

    use super::{of, of_text};

    fn forms(text: &str) -> Vec<String> {
        let mut forms = Vec::new();
        of_text(text, &mut |form| forms.push(String::from_utf8(form.to_vec()).unwrap()));
        forms
    }

    #[test]
    fn the_text_is_found_wherever_it_stands_and_up_to_its_end() {
        let text = "?>~s3cret?>~";
        let forms = forms(text);
        for before in ["", "a", "ab", "abc"] {
            for after in ["", "z", "zy", "\n"] {
                let whole = [before, text, after].concat();
                for encoded in [STANDARD.encode(&whole), URL_SAFE.encode(&whole), STANDARD_NO_PAD.encode(&whole)] {
                    assert!(forms.iter().any(|form| encoded.contains(form.as_str())), "{whole} {encoded}");
                    if before.is_empty() && after.trim().is_empty() {
                        assert!(forms.contains(&encoded), "{whole} {encoded}");
                    }
                }
            }
        }
    }

    #[test]
    fn it_is_found_in_a_url_in_json_and_twice_encoded() {
        let (text, once) = ("?>~s3cret?>", STANDARD.encode("?>~s3cret?>"));
        let forms = forms(text);
        for form in [
            once.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D"),
            once.replace('+', "%2b").replace('/', "%2f").replace('=', "%3d"),
            once.replace('/', "\\/"),
            STANDARD.encode(&once),
        ] {
            assert!(forms.contains(&form), "{form}");
        }
    }

    #[test]
    fn lines_of_the_usual_widths_are_found_by_themselves() {
        let text = "x".repeat(200);
        let encoded = STANDARD.encode(&text);
        let mut forms = Vec::new();
        of(text.as_bytes(), &mut |form| forms.push(form.to_vec()));
        for width in [64, 76] {
            assert!(encoded.as_bytes().chunks(width).all(|piece| piece.len() < 8 || forms.contains(&piece.to_vec())));
        }
    }
}
