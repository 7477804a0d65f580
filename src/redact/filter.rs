//! Where in a text a form may begin: most of it is passed over at some bytes per nanosecond.
//!
//! Rule: what is passed over begins no form. Three bytes in a row are looked up at every fourth place; each form has
//! [`SHORTEST`] bytes at least, so one of its first four such triples stands at such a place. Control characters are
//! never passed over: colours and line ends may stand inside of a form. Nor are two blanks, where a form has one.

use zeroize::{Zeroize as _, Zeroizing};

/// Bytes of the shortest form.
pub(super) const SHORTEST: usize = 6;
/// Bytes of a triple's window.
const WINDOW: usize = 3;
/// From one place to the next that is looked at.
const STRIDE: usize = SHORTEST - WINDOW + 1;
/// What is looked at at once.
const BLOCK: usize = 2 * STRIDE;

/// A set of triples, with some that are in it by chance.
pub(super) struct Filter {
    bits: Vec<u64>,
    /// 32 minus the logarithm of the number of bits.
    shift: u32,
    has_blanks: bool,
}

impl Filter {
    /// Of the first triples of these forms.
    pub(super) fn new(forms: &[Zeroizing<Vec<u8>>]) -> Self {
        // About one bit in 64 is set, within 2 KiB and 256 KiB.
        let bits = (forms.len() * STRIDE * 64).next_power_of_two().clamp(1 << 14, 1 << 21);
        let has_blanks = forms.iter().any(|form| form.contains(&b' '));
        let mut filter = Self { bits: vec![0; bits / 64], shift: 32 - bits.trailing_zeros(), has_blanks };
        for form in forms {
            for triple in form.windows(WINDOW).take(STRIDE) {
                let place = filter.place(u32::from_le_bytes([triple[0], triple[1], triple[2], 0]));
                filter.bits[place / 64] |= 1 << (place % 64);
            }
        }
        filter
    }

    /// Whether a form has a blank.
    #[inline]
    pub(super) fn has_blanks(&self) -> bool {
        self.has_blanks
    }

    #[inline]
    fn place(&self, triple: u32) -> usize {
        (triple.wrapping_mul(0x9E37_79B1) >> self.shift) as usize
    }

    #[inline]
    fn has(&self, triple: u32) -> bool {
        let place = self.place(triple & 0x00FF_FFFF);
        self.bits[place / 64] >> (place % 64) & 1 == 1
    }

    /// The next place at or after `from` that must be looked at closer: no form begins before it.
    #[inline]
    pub(super) fn skip(&self, bytes: &[u8], from: usize) -> usize {
        let mut at = from;
        for block in bytes[from..].chunks_exact(BLOCK) {
            let [a, b, c, d, e, f, g, h] = *block else { break };
            let (low, high) = (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]));
            if has_control(low) || has_control(high) || self.has(low) || self.has(high) {
                break;
            }
            if self.has_blanks && has_blanks(bytes, at.saturating_sub(1).max(from), at + BLOCK) {
                break;
            }
            at += BLOCK;
        }
        // The last triple that was passed may be the first bytes but for five of a form that goes on here.
        at.saturating_sub(SHORTEST - 1).max(from)
    }
}

/// Whether two blanks stand side by side there.
#[inline]
fn has_blanks(bytes: &[u8], from: usize, to: usize) -> bool {
    bytes[from..to].windows(2).any(|pair| pair == b"  ")
}

/// Whether one of four bytes is below 0x20.
#[inline]
fn has_control(bytes: u32) -> bool {
    bytes.wrapping_sub(0x2020_2020) & !bytes & 0x8080_8080 != 0
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

    #[test]
    fn a_form_is_never_passed_over_wherever_it_stands() {
        let filter = Filter::new(&[Zeroizing::new(b"hunter22".to_vec()), Zeroizing::new(b"s3cret".to_vec())]);
        for form in ["hunter22", "s3cret"] {
            for before in 0..40 {
                for after in 0..20 {
                    let text = [".".repeat(before), form.to_owned(), ".".repeat(after)].concat();
                    for from in 0..=before {
                        assert!(filter.skip(text.as_bytes(), from) <= before, "{text} from {from}");
                    }
                }
            }
        }
    }

    #[test]
    fn clean_text_is_passed_up_to_its_end_and_control_characters_are_not() {
        let filter = Filter::new(&[Zeroizing::new(b"hunter22".to_vec())]);
        let clean = ".".repeat(1000);
        assert!(filter.skip(clean.as_bytes(), 0) > 980);
        for control in ["\n", "\r", "\u{1b}", "\0", "\t"] {
            let text = [".".repeat(500), control.to_owned(), ".".repeat(500)].concat();
            let stopped = filter.skip(text.as_bytes(), 0);
            assert!((480..=500).contains(&stopped) && stopped + 5 >= 500 - 8, "{stopped}");
        }
        assert_eq!(filter.skip(b"", 0), 0);
    }
}
