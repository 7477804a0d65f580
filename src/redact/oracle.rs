//! What the redactor must do, said in the simplest way: read the whole text in three ways, look for every form at every
//! place of each, and join what overlaps.

use std::ops::Range;

use crate::redact::PLACEHOLDER;

/// The longest gap.
const GAP: usize = 128;

/// A reading: its bytes, and where each stands in the text.
type Read = Vec<(u8, usize)>;

/// The text without the forms.
pub(in crate::redact) fn redacted(forms: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    for place in places(forms, text) {
        out.extend_from_slice(&text[at..place.start]);
        out.extend_from_slice(PLACEHOLDER.as_bytes());
        at = place.end;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// Where forms stand: those that overlap are one.
pub(in crate::redact) fn places(forms: &[Vec<u8>], text: &[u8]) -> Vec<Range<usize>> {
    let plain: Read = text.iter().copied().zip(0..).collect();
    let mut found = Vec::new();
    for read in [plain, joined(text), spaced(text)] {
        for form in forms {
            for window in read.windows(form.len()) {
                let is_near = window.windows(2).all(|pair| pair[1].1 - pair[0].1 <= GAP + 1);
                if is_near && window.iter().map(|(byte, _)| byte).eq(form) {
                    found.push(window[0].1..window[window.len() - 1].1 + 1);
                }
            }
        }
    }
    found.sort_by_key(|place| (place.start, place.end));
    let mut merged: Vec<Range<usize>> = Vec::new();
    for place in found {
        match merged.last_mut() {
            Some(last) if place.start < last.end => last.end = last.end.max(place.end),
            _ => merged.push(place),
        }
    }
    merged
}

/// How many bytes of a control sequence stand at the beginning.
fn sequence(text: &[u8]) -> usize {
    if text.first() != Some(&0x1b) {
        return 0;
    }
    match text.get(1) {
        Some(b'(') => text.len().min(3),
        Some(b'[') => {
            let parameters = text[2..].iter().take(32).take_while(|byte| (0x20..=0x3f).contains(*byte)).count();
            let is_whole = text.get(2 + parameters).is_some_and(|byte| (0x40..=0x7e).contains(byte));
            2 + parameters + usize::from(is_whole)
        }
        _ => 1,
    }
}

/// How many bytes stand at the beginning that are a line end and what follows it, and whether there are any.
fn line_end(text: &[u8], is_line_end: bool) -> usize {
    let (mut at, mut is_line_end) = (0, is_line_end);
    loop {
        let rest = &text[at..];
        let length = match rest.first() {
            Some(b'\n' | b'\r') => {
                is_line_end = true;
                1
            }
            Some(b' ' | b'\t') if is_line_end => 1,
            Some(0xE2) if is_line_end && rest.starts_with("│".as_bytes()) => 3,
            Some(0x1b) if is_line_end => sequence(rest),
            _ => return at,
        };
        at += length;
    }
}

fn joined(text: &[u8]) -> Read {
    let (mut read, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let left_out = sequence(&text[at..]).max(line_end(&text[at..], false));
        if left_out == 0 {
            read.push((text[at], at));
        }
        at += left_out.max(1);
    }
    read
}

fn spaced(text: &[u8]) -> Read {
    let (mut read, mut at) = (Vec::new(), 0);
    while at < text.len() {
        let length = sequence(&text[at..]);
        if length > 0 {
            at += length;
            continue;
        }
        if !text[at].is_ascii_whitespace() || text[at] == 0x0c {
            read.push((text[at], at));
            at += 1;
            continue;
        }
        read.push((b' ', at));
        // All blanks, colours, and from the first line end on frames.
        let mut is_line_end = false;
        while at < text.len() {
            let rest = &text[at..];
            is_line_end |= matches!(rest[0], b'\n' | b'\r');
            at += match rest[0] {
                b' ' | b'\t' | b'\n' | b'\r' => 1,
                0x1b => sequence(rest),
                0xE2 if is_line_end && rest.starts_with("│".as_bytes()) => 3,
                _ => break,
            };
        }
    }
    read
}
