//! Two ways to read text in which a form that was broken by the way it was printed is whole again.
//!
//! Rule: colours stand between any two bytes of both. `Joined` leaves out line ends with the blanks and the frame
//! (`│`, which tofu puts before each line of an error) that follow them: what was wrapped at a column. `Spaced` makes
//! one blank of them and of any other blanks: what was wrapped between words, indented, or has other line ends. Forms
//! and text are read by the same code, byte by byte.

use zeroize::Zeroizing;

const ESCAPE: u8 = 0x1b;
/// Bytes of the parameters of a control sequence; tofu's have up to 8, true colours 16.
const LONGEST_SEQUENCE: usize = 32;
/// `│`
const FRAME: [u8; 3] = [0xE2, 0x94, 0x82];

/// How blanks and line ends are read.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    Joined,
    Spaced,
}

/// How far a control sequence has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sequence {
    None,
    /// `ESC` was there.
    Begun,
    /// `ESC (` was there: one more byte names a character set.
    Set,
    /// `ESC [` and so many parameters were there.
    Parameters(usize),
}

/// A reader of text.
#[derive(Clone)]
pub(super) struct View {
    reading: Reading,
    sequence: Sequence,
    /// After a line end and what belongs to it.
    at_line_start: bool,
    /// After a blank or a line end.
    after_blank: bool,
    /// Bytes of a frame that were there.
    frame: usize,
}

impl View {
    pub(super) fn new(reading: Reading) -> Self {
        Self { reading, sequence: Sequence::None, at_line_start: false, after_blank: false, frame: 0 }
    }

    /// Bytes that may belong to a frame and were not given yet are not given any more.
    pub(super) fn forget_frame(&mut self) {
        self.frame = 0;
    }

    /// Whether the next byte is read as it would be at the beginning.
    #[inline]
    pub(super) fn is_fresh(&self) -> bool {
        self.sequence == Sequence::None && !self.at_line_start && !self.after_blank && self.frame == 0
    }

    /// Whether the byte is read as it is, and the next as it would be at the beginning.
    #[inline]
    pub(super) fn passes(&self, byte: u8) -> bool {
        let is_special = byte == ESCAPE || matches!(byte, b'\n' | b'\r');
        let is_blank = matches!(byte, b' ' | b'\t') && self.reading == Reading::Spaced;
        !is_special && !is_blank && self.is_fresh()
    }

    /// Reads a byte; gives what is read, and how many bytes before this one it was written.
    #[inline]
    pub(super) fn read(&mut self, byte: u8, mut give: impl FnMut(u8, usize)) {
        if self.is_in_sequence(byte) {
            return;
        }
        if byte == ESCAPE {
            self.end_frame(&mut give);
            self.sequence = Sequence::Begun;
            return;
        }
        if self.at_line_start {
            if byte == FRAME[self.frame] {
                self.frame = (self.frame + 1) % FRAME.len();
                return;
            }
            self.end_frame(&mut give);
        }
        let is_line_end = matches!(byte, b'\n' | b'\r');
        let is_blank = matches!(byte, b' ' | b'\t');
        match self.reading {
            Reading::Joined if is_line_end || (is_blank && self.at_line_start) => self.at_line_start = true,
            Reading::Spaced if is_line_end || is_blank => {
                self.at_line_start |= is_line_end;
                if !std::mem::replace(&mut self.after_blank, true) {
                    give(b' ', 0);
                }
            }
            Reading::Joined | Reading::Spaced => {
                (self.at_line_start, self.after_blank) = (false, false);
                give(byte, 0);
            }
        }
    }

    /// Whether the byte belongs to a control sequence; what does not is text.
    #[inline]
    fn is_in_sequence(&mut self, byte: u8) -> bool {
        let next = match (self.sequence, byte) {
            (Sequence::None, _) => return false,
            (Sequence::Begun, b'[') => Some(Sequence::Parameters(0)),
            (Sequence::Begun, b'(') => Some(Sequence::Set),
            (Sequence::Set, _) | (Sequence::Parameters(_), 0x40..=0x7e) => Some(Sequence::None),
            (Sequence::Parameters(count), 0x20..=0x3f) if count < LONGEST_SEQUENCE => {
                Some(Sequence::Parameters(count + 1))
            }
            (Sequence::Begun | Sequence::Parameters(_), _) => None,
        };
        self.sequence = next.unwrap_or(Sequence::None);
        next.is_some()
    }

    /// What looked like a frame was text.
    #[inline]
    fn end_frame(&mut self, give: &mut impl FnMut(u8, usize)) {
        let count = std::mem::take(&mut self.frame);
        if count > 0 {
            (self.at_line_start, self.after_blank) = (false, false);
            for (place, byte) in FRAME[..count].iter().enumerate() {
                give(*byte, count - place);
            }
        }
    }
}

/// A form as it is read, without the blanks and frames around it: around a text, they may belong to something else.
pub(super) fn read_whole(reading: Reading, form: &[u8]) -> Zeroizing<Vec<u8>> {
    let mut read = Zeroizing::new(Vec::with_capacity(form.len()));
    let mut view = View::new(reading);
    for byte in form {
        view.read(*byte, |byte, _| read.push(byte));
    }
    let mut trimmed = read.trim_ascii();
    while let Some(rest) = trimmed.strip_prefix(&FRAME) {
        trimmed = rest.trim_ascii_start();
    }
    Zeroizing::new(trimmed.to_vec())
}

#[cfg(test)]
mod tests {
    use super::{Reading, read_whole};

    fn read(reading: Reading, text: &str) -> String {
        String::from_utf8(read_whole(reading, text.as_bytes()).to_vec()).unwrap()
    }

    #[test]
    fn joined_is_what_was_wrapped_at_a_column() {
        for (text, joined) in [
            ("ab cd", "ab cd"),
            ("ab\ncd", "abcd"),
            ("ab\r\n  \tcd", "abcd"),
            ("ab\n│ cd", "abcd"),
            ("ab\n\u{1b}[31m│\u{1b}[0m \u{1b}[0mcd", "abcd"),
            ("ab\n→cd", "ab→cd"),
            ("ab\n┌cd", "ab┌cd"),
            ("ab│cd", "ab│cd"),
            ("\n │ ab \n", "ab"),
        ] {
            assert_eq!(read(Reading::Joined, text), joined, "{text:?}");
        }
    }

    #[test]
    fn spaced_has_one_blank_for_any_blanks() {
        for (text, spaced) in [
            ("ab  cd", "ab cd"),
            ("ab\ncd", "ab cd"),
            ("ab \r\n\t│ cd", "ab cd"),
            ("ab │cd", "ab │cd"),
            ("ab\n\u{1b}[1m→ cd", "ab → cd"),
        ] {
            assert_eq!(read(Reading::Spaced, text), spaced, "{text:?}");
        }
    }

    #[test]
    fn colours_stand_between_any_bytes_and_what_is_none_is_text() {
        for (text, plain) in [
            ("a\u{1b}[1mb\u{1b}[38;2;255;128;64mc\u{1b}(B\u{1b}[md", "abcd"),
            ("a\u{1b}bc", "abc"),
            ("a\u{1b}\u{1b}[0mbc", "abc"),
            ("a\u{1b}[1\u{7f}b", "a\u{7f}b"),
        ] {
            assert_eq!(read(Reading::Joined, text), plain, "{text:?}");
        }
        let endless = format!("a\u{1b}[{}b", "1".repeat(40));
        assert_eq!(read(Reading::Joined, &endless), format!("a{}b", "1".repeat(8)));
    }
}
