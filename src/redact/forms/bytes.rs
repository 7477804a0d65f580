//! Forms that show bytes: hexadecimal, UTF-16, and what escapes whatever is not ASCII.

use std::fmt::Write as _;

use zeroize::Zeroizing;

/// The forms of a text.
pub(super) fn of(text: &str, add: &mut impl FnMut(&[u8])) {
    let hexadecimal = hexadecimal(text);
    add(hexadecimal.as_bytes());
    add(Zeroizing::new(hexadecimal.to_ascii_uppercase()).as_bytes());
    let wide = utf16(text);
    add(&wide);
    let mut swapped = wide;
    swapped.chunks_exact_mut(2).for_each(<[u8]>::reverse);
    add(&swapped);
    if !text.is_ascii() {
        // As Python shows bytes, and as a shell does where the locale has no such letter.
        add(each_byte(text, |out, byte| escape(out, byte, format_args!("\\x{byte:02x}"))).as_bytes());
        add(each_byte(text, |out, byte| escape(out, byte, format_args!("\\{byte:03o}"))).as_bytes());
    }
}

/// Two digits for each byte, as most programs write them.
pub(super) fn hexadecimal(text: &str) -> Zeroizing<String> {
    each_byte(text, |out, byte| {
        let _ = write!(out, "{byte:02x}");
    })
}

/// UTF-16, the lower byte first.
pub(super) fn utf16(text: &str) -> Zeroizing<Vec<u8>> {
    let mut wide = Zeroizing::new(Vec::with_capacity(text.len() * 2));
    wide.extend(text.encode_utf16().flat_map(u16::to_le_bytes));
    wide
}

fn escape(out: &mut String, byte: u8, escaped: std::fmt::Arguments<'_>) {
    match byte {
        b'\\' | b'\'' => out.extend(['\\', char::from(byte)]),
        b'\n' => out.push_str("\\n"),
        _ if byte.is_ascii() => out.push(char::from(byte)),
        _ => {
            let _ = out.write_fmt(escaped);
        }
    }
}

fn each_byte(text: &str, mut write: impl FnMut(&mut String, u8)) -> Zeroizing<String> {
    let mut written = Zeroizing::new(String::with_capacity(text.len() * 4));
    for byte in text.bytes() {
        write(&mut written, byte);
    }
    written
}
