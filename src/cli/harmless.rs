//! What of other people's text reaches a terminal: tofu's output, names, messages, arguments.
//!
//! Rule: printable characters, line ends, tabs and, where colours are wanted, SGR (`ESC [ … m`); nothing that moves a
//! cursor, writes a clipboard or turns the direction of text, wherever a stream is cut. What is kept away is seen as
//! `·`, an escape as `␛`: a plan that was painted over must not look like one that was not.

use std::fmt::Write as _;

/// Stands for a character that is kept away.
const DOT: char = '·';
/// Stands for an escape that is kept away.
const ESCAPE: char = '␛';
/// More bytes than any SGR that tofu or a person writes.
const SGR_BYTES: usize = 64;
/// Ends every colour.
const RESET: &str = "\u{1b}[0m";

/// Takes out of a stream what could do more than be read.
#[derive(Debug)]
pub(super) struct Harmless {
    colours: bool,
    /// Bytes that only what follows can tell: a character, an escape sequence or a line end that was cut in two.
    held: Vec<u8>,
    /// Whether a colour may be on.
    coloured: bool,
}

/// What stands at the beginning of some bytes.
enum Found {
    /// So many bytes become this.
    Text(usize, char),
    /// So many bytes are an SGR.
    Sgr(usize),
    /// So many bytes are nothing.
    Nothing(usize),
    /// It cannot be told yet.
    Open,
}

impl Harmless {
    /// At the beginning of a stream.
    pub(super) fn new(colours: bool) -> Self {
        Self { colours, held: Vec::new(), coloured: false }
    }

    /// What may be written of `piece`.
    pub(super) fn piece(&mut self, piece: &[u8]) -> String {
        self.held.extend_from_slice(piece);
        self.take(false)
    }

    /// What may be written of the rest, and the end of colours: the stream is over, or something else comes first.
    pub(super) fn end(&mut self) -> String {
        let mut text = self.take(true);
        if std::mem::take(&mut self.coloured) {
            text.push_str(RESET);
        }
        text
    }

    fn take(&mut self, is_end: bool) -> String {
        let mut text = String::with_capacity(self.held.len());
        let mut at = 0;
        while at < self.held.len() {
            let rest = &self.held[at..];
            at += match first(rest, is_end) {
                Found::Text(length, c) => {
                    text.push(c);
                    length
                }
                Found::Sgr(length) => {
                    if self.colours {
                        // It consists of ASCII.
                        text.extend(rest[..length].iter().map(|&byte| char::from(byte)));
                        self.coloured = true;
                    }
                    length
                }
                Found::Nothing(length) => length,
                Found::Open => break,
            };
        }
        self.held.drain(..at);
        text
    }
}

/// What the bytes, of which there is at least one, begin with.
fn first(bytes: &[u8], is_end: bool) -> Found {
    match (bytes[0], bytes.get(1)) {
        (b'\r' | 0x1b, None) if !is_end => Found::Open,
        (b'\r', Some(b'\n')) => Found::Nothing(1),
        (0x1b, Some(b'[')) => sequence(bytes, is_end),
        _ => character(bytes, is_end),
    }
}

/// `ESC [ …`
fn sequence(bytes: &[u8], is_end: bool) -> Found {
    let is_parameter = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b';' | b':');
    let length = 2 + bytes[2..].iter().take(SGR_BYTES).take_while(is_parameter).count();
    match bytes.get(length) {
        Some(b'm') => Found::Sgr(length + 1),
        None if !is_end && length < SGR_BYTES => Found::Open,
        _ => Found::Text(1, ESCAPE),
    }
}

fn character(bytes: &[u8], is_end: bool) -> Found {
    let most = &bytes[..bytes.len().min(4)];
    let valid = match std::str::from_utf8(most) {
        Ok(text) => text,
        Err(error) if error.valid_up_to() > 0 => std::str::from_utf8(&most[..error.valid_up_to()]).unwrap_or_default(),
        Err(error) if error.error_len().is_none() && !is_end => return Found::Open,
        Err(error) => return Found::Text(error.error_len().unwrap_or(most.len()), char::REPLACEMENT_CHARACTER),
    };
    let c = valid.chars().next().unwrap_or(DOT);
    Found::Text(c.len_utf8(), if matches!(c, '\n' | '\t') { c } else { visible(c) })
}

/// The character, or what stands for it.
fn visible(c: char) -> char {
    match c {
        '\u{1b}' => ESCAPE,
        c if is_harmful(c) => DOT,
        c => c,
    }
}

/// Whether a terminal could do with it something else than show it: C0, DEL, C1; marks that turn the direction of
/// text; line ends that are none in a log.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines, where it is shown.
pub(super) fn harmless(text: &str, colours: bool) -> String {
    let mut filter = Harmless::new(colours);
    let mut shown = filter.piece(text.as_bytes());
    shown.push_str(&filter.end());
    shown
}

/// A text in one line: a name or a message of others must not look like a line of ours.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_whitespace() { ' ' } else { visible(c) }).collect()
}

/// JSON with the same characters, those that a terminal would obey as escapes of JSON.
pub(super) fn harmless_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\n' => text.push(c),
            // In JSON they stand within strings alone; all are of the basic plane.
            c if is_harmful(c) => {
                let _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Harmless, harmless, harmless_json, is_harmful, printable};
    use proptest::prelude::*;

    fn in_two(bytes: &[u8], cut: usize, colours: bool) -> String {
        let mut filter = Harmless::new(colours);
        let mut text = filter.piece(&bytes[..cut]);
        text.push_str(&filter.piece(&bytes[cut..]));
        text.push_str(&filter.end());
        text
    }

    #[test]
    fn tofus_colours_stay_at_a_terminal_and_go_in_a_pipe_wherever_the_stream_is_cut() {
        let log = "\u{1b}[1m\u{1b}[38;5;2mPlän:\u{1b}[0m 1 to add\r\n\t→ b".as_bytes();
        for cut in 0..=log.len() {
            let colours = "\u{1b}[1m\u{1b}[38;5;2mPlän:\u{1b}[0m 1 to add\n\t→ b\u{1b}[0m";
            assert_eq!(in_two(log, cut, true), colours, "cut at {cut}");
            assert_eq!(in_two(log, cut, false), "Plän: 1 to add\n\t→ b", "cut at {cut}");
        }
    }

    #[test]
    fn what_a_terminal_would_obey_is_seen_instead() {
        for (text, shown) in [
            ("\u{1b}[2J\u{1b}[H0 to destroy", "␛[2J␛[H0 to destroy"),
            ("\u{1b}]52;c;cm0gLXJm\u{7}", "␛]52;c;cm0gLXJm·"),
            ("\u{1b}]8;;https://x\u{1b}\\link", "␛]8;;https://x␛\\link"),
            ("\u{1b}P1$r\u{1b}\\ \u{1b}c \u{1b}(0", "␛P1$r␛\\ ␛c ␛(0"),
            ("\u{1b}[1;\u{1b}[31mred", "␛[1;\u{1b}[31mred\u{1b}[0m"),
            ("\u{1b}[?25l \u{1b}[1 m \u{1b}[>4m", "␛[?25l ␛[1 m ␛[>4m"),
            ("5 to destroy\r0 to destroy", "5 to destroy·0 to destroy"),
            ("ab\u{8}\u{8}\u{7f}\u{0}", "ab····"),
            ("\u{9b}2J \u{202e}desrever\u{202c} \u{2066}x\u{2069} \u{200f}", "·2J ·desrever· ·x· ·"),
            ("\u{1b}", "␛"),
            ("\r", "·"),
            ("\r\r\n", "·\n"),
        ] {
            for cut in 0..=text.len() {
                assert_eq!(in_two(text.as_bytes(), cut, true), shown, "{text:?} cut at {cut}");
            }
        }
        assert_eq!(in_two(b"\x9b2J a\xff\xc3", 1, true), "\u{fffd}2J a\u{fffd}\u{fffd}");
    }

    #[test]
    fn an_endless_sequence_is_not_waited_for() {
        let mut filter = Harmless::new(true);
        let shown = filter.piece(format!("\u{1b}[{}", "1;".repeat(100)).as_bytes());
        assert!(shown.starts_with("␛[1;1;"), "{shown:?}");
    }

    #[test]
    fn a_name_stays_in_its_line() {
        assert_eq!(printable("a\u{1b}[31m\nhint: b\u{9b}\u{2028}\t\u{202e}"), "a␛[31m hint: b·  ·");
    }

    #[test]
    fn json_says_the_same_without_harm() {
        let text = "a\u{1b}[2J\u{7f}\u{9b}\u{202e}\"ä";
        let json = harmless_json(&serde_json::to_string_pretty(&[text]).unwrap());
        assert!(json.chars().all(|c| c == '\n' || !is_harmful(c)), "{json:?}");
        assert_eq!(serde_json::from_str::<Vec<String>>(&json).unwrap(), [text]);
    }

    /// Whether it is all that may reach a terminal, told in another way than by the filter.
    fn is_allowed(text: &str, colours: bool) -> bool {
        let mut rest = text.chars().peekable();
        while let Some(c) = rest.next() {
            let fine = match c {
                '\n' | '\t' => true,
                '\u{1b}' if colours => {
                    rest.next() == Some('[') && {
                        while rest.next_if(|&c| c.is_ascii_digit() || c == ';' || c == ':').is_some() {}
                        rest.next() == Some('m')
                    }
                }
                c => !c.is_control() && !"\u{200e}\u{200f}\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}".contains(c),
            };
            if !fine {
                return false;
            }
        }
        true
    }

    proptest! {
        #[test]
        fn nothing_else_gets_through_however_it_is_cut(
            parts in prop::collection::vec(
                prop_oneof![
                    prop::collection::vec(any::<u8>(), 0..6),
                    Just(b"\x1b[".to_vec()), Just(b"\x1b]52;".to_vec()), Just(b"1;2m".to_vec()), Just(b"\r\n".to_vec()),
                    Just("\u{202e}ä\u{9b}".as_bytes().to_vec()), Just(b"\x1b".to_vec()),
                ],
                0..12,
            ),
            colours: bool,
        ) {
            let mut filter = Harmless::new(colours);
            let mut text: String = parts.iter().map(|part| filter.piece(part)).collect();
            text.push_str(&filter.end());
            prop_assert!(is_allowed(&text, colours), "{text:?}");
            let whole = parts.concat();
            prop_assert_eq!(&text, &in_two(&whole, 0, colours));
            // Line by line it is the same as at once, where it is text at all.
            if let Ok(whole) = std::str::from_utf8(&whole) {
                prop_assert_eq!(&text, &harmless(whole, colours));
            }
        }
    }
}
