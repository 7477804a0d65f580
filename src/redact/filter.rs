//! Where in a text a form may begin: most of it is passed over at some bytes per nanosecond.
//!
//! Rule: what is passed over begins no form. Four bytes in a row are looked up at every third place; each form has
//! [`SHORTEST`] bytes at least, so one of its first three such windows stands at such a place. Control characters are
//! never passed over: colours and line ends may stand inside of a form. Nor are two blanks, where a form has one.

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of the shortest form.
pub(super) const SHORTEST: usize = 6;
/// Bytes that are looked up.
const WINDOW: usize = 4;
/// From one place to the next that is looked at.
const STRIDE: usize = SHORTEST - WINDOW + 1;
/// What is passed at once.
const BLOCK: usize = 2 * STRIDE;
/// What is looked at for that.
const SEEN: usize = 8;

/// A set of windows, with some that are in it by chance.
pub(super) struct Filter {
    bits: Vec<u64>,
    /// 32 minus the logarithm of the number of bits.
    shift: u32,
    has_blanks: bool,
}

impl Filter {
    /// Of the first windows of these forms; whether any of them has a blank.
    pub(super) fn new<'f>(forms: impl Iterator<Item = &'f Zeroizing<Vec<u8>>> + Clone, has_blanks: bool) -> Self {
        // About one bit in 64 is set, within 2 KiB and 256 KiB.
        let bits = (forms.clone().count() * STRIDE * 64).next_power_of_two().clamp(1 << 14, 1 << 21);
        let mut filter = Self { bits: vec![0; bits / 64], shift: 32 - bits.trailing_zeros(), has_blanks };
        for form in forms {
            for window in form.windows(WINDOW).take(STRIDE) {
                let place = filter.place(window);
                filter.bits[place / 64] |= 1 << (place % 64);
            }
        }
        filter
    }

    /// Whether a form has a blank, so that it matters how blanks are read.
    #[inline]
    pub(super) fn has_blanks(&self) -> bool {
        self.has_blanks
    }

    #[inline]
    fn place(&self, window: &[u8]) -> usize {
        let number = window.first_chunk().map_or(0, |window| u32::from_le_bytes(*window));
        (number.wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }

    #[inline]
    fn has(&self, window: &[u8]) -> bool {
        let place = self.place(window);
        self.bits[place / 64] >> (place % 64) & 1 == 1
    }

    /// Whether a form may begin with these bytes; also when there are too few of them to tell.
    #[inline]
    pub(super) fn may_begin(&self, bytes: &[u8]) -> bool {
        bytes.get(..WINDOW).is_none_or(|window| self.has(window))
    }

    /// The next place at or after `from` that must be looked at closer: no form begins before it. Also the place from
    /// which on the filter can be asked again, if nothing has begun there.
    #[inline]
    pub(super) fn skip(&self, bytes: &[u8], from: usize) -> (usize, usize) {
        let mut at = from;
        while let Some(seen) = bytes[at..].first_chunk::<SEEN>() {
            if has_control(u64::from_le_bytes(*seen)) || (self.has_blanks && has_blanks(bytes, from, at)) {
                break;
            }
            // A window is one of a form's first three.
            if self.has(&seen[..WINDOW]) {
                return (at.saturating_sub(STRIDE - 1).max(from), at + 1);
            }
            if self.has(&seen[STRIDE..]) {
                return (at + 1, at + STRIDE + 1);
            }
            at += BLOCK;
        }
        self.before_break(bytes, from, at)
    }

    /// The same where a form may be broken soon behind `at`, by a control character, blanks, or the end of what is there.
    fn before_break(&self, bytes: &[u8], from: usize, at: usize) -> (usize, usize) {
        let rest = &bytes[at..bytes.len().min(at + SEEN)];
        let is_break = |place: usize| bytes[place] < b' ' || (self.has_blanks && is_second_blank(bytes, from, place));
        let end = (at..at + rest.len()).find(|place| is_break(*place)).unwrap_or(at + rest.len());
        let first = at.saturating_sub(STRIDE - 1).max(from);
        // Of a form that began up to here the first window is whole.
        let last = end.saturating_sub(WINDOW - 1).max(first);
        let found = (first..last).find(|place| self.has(&bytes[*place..]));
        (found.unwrap_or(last), end + 1)
    }
}

/// Whether a blank behind another is among the bytes that are seen at `at`.
#[inline]
fn has_blanks(bytes: &[u8], from: usize, at: usize) -> bool {
    (at..at + SEEN).any(|place| is_second_blank(bytes, from, place))
}

#[inline]
fn is_second_blank(bytes: &[u8], from: usize, place: usize) -> bool {
    place > from && bytes[place] == b' ' && bytes[place - 1] == b' '
}

/// Whether one of eight bytes is below 0x20.
#[inline]
fn has_control(bytes: u64) -> bool {
    bytes.wrapping_sub(0x2020_2020_2020_2020) & !bytes & 0x8080_8080_8080_8080 != 0
}

impl Drop for Filter {
    fn drop(&mut self) {
        self.bits.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::Filter;

    fn filter(forms: &[&str]) -> Filter {
        let forms: Vec<_> = forms.iter().map(|form| Zeroizing::new(form.as_bytes().to_vec())).collect();
        Filter::new(forms.iter(), false)
    }

    #[test]
    fn a_form_is_never_passed_over_wherever_it_stands() {
        let filter = filter(&["hunter22", "s3cret"]);
        for form in ["hunter22", "s3cret"] {
            for before in 0..40 {
                for after in 0..20 {
                    let text = [".".repeat(before), form.to_owned(), ".".repeat(after)].concat();
                    for from in 0..=before {
                        assert!(filter.skip(text.as_bytes(), from).0 <= before, "{text} from {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn clean_text_is_passed_up_to_its_end_and_control_characters_are_not() {
        let filter = filter(&["hunter22"]);
        assert_eq!(filter.skip(".".repeat(1000).as_bytes(), 0), (997, 1001));
        for control in ["\n", "\r", "\u{1b}", "\0", "\t"] {
            let text = [".".repeat(500), control.to_owned(), ".".repeat(500)].concat();
            let (stopped, again) = filter.skip(text.as_bytes(), 0);
            assert_eq!((stopped, again), (497, 501), "{control:?}");
        }
        assert_eq!(filter.skip(b"", 0).0, 0);
    }
}
