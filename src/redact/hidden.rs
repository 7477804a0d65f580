//! What is not given out: the places in a stream that hold a form.
//!
//! Rule: places that overlap are one, however the stream was cut, and stand for one [`PLACEHOLDER`]; its length says
//! nothing of theirs. Places that only touch are two.

use std::collections::VecDeque;
use std::ops::Range;

/// What stands where a secret stood.
pub const PLACEHOLDER: &str = "(redacted)";

/// Places by their offsets in the stream.
#[derive(Default)]
pub(super) struct Hidden {
    /// Not yet reached; in order, apart from each other.
    ahead: VecDeque<Range<usize>>,
    /// Up to here the placeholder was given already.
    until: usize,
}

impl Hidden {
    /// One more, which ends where or after all others do.
    pub(super) fn add(&mut self, mut place: Range<usize>) {
        while let Some(last) = self.ahead.back() {
            if last.end <= place.start {
                break;
            }
            place = place.start.min(last.start)..place.end.max(last.end);
            self.ahead.pop_back();
        }
        self.ahead.push_back(place);
    }

    /// Forgets the places that were not reached.
    pub(super) fn forget_ahead(&mut self) {
        self.ahead.clear();
    }

    /// Gives out `bytes`, which begin at the offset `from`. No place will be added that begins within them.
    pub(super) fn give(&mut self, bytes: &[u8], from: usize, out: &mut Vec<u8>) {
        let end = from + bytes.len();
        let mut at = from;
        while at < end {
            let next = self.ahead.front().map_or(usize::MAX, |place| place.start);
            if next < self.until || next <= at {
                // One that overlaps with what was given before goes on there, unless something was shown in between.
                if next >= self.until || at > self.until {
                    out.extend_from_slice(PLACEHOLDER.as_bytes());
                }
                self.swallow();
            } else if at < self.until {
                at = self.until.min(end);
            } else {
                let next = next.min(end);
                out.extend_from_slice(&bytes[at - from..next - from]);
                at = next;
            }
        }
    }

    /// Up to where it is known what is given out, when what may begin a form begins at `from`: a place around it is
    /// hidden in any case.
    pub(super) fn decided(&self, from: usize) -> usize {
        let around = self.ahead.iter().take_while(|place| place.start <= from || place.start < self.until);
        around.map(|place| place.end).fold(from.max(self.until), usize::max)
    }

    fn swallow(&mut self) {
        if let Some(place) = self.ahead.pop_front() {
            self.until = self.until.max(place.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Hidden;

    /// Gives ten bytes, cut at this offset, with these places known from the beginning.
    fn given(places: &[(usize, usize)], cut: usize) -> String {
        let mut hidden = Hidden::default();
        for (start, end) in places {
            hidden.add(*start..*end);
        }
        let mut out = Vec::new();
        hidden.give(&b"0123456789"[..cut], 0, &mut out);
        hidden.give(&b"0123456789"[cut..], cut, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn overlapping_places_are_one_and_touching_ones_two_wherever_the_cut_is() {
        for cut in 0..=10 {
            assert_eq!(given(&[], cut), "0123456789");
            assert_eq!(given(&[(2, 4), (3, 6)], cut), "01(redacted)6789");
            assert_eq!(given(&[(2, 4), (4, 6)], cut), "01(redacted)(redacted)6789");
            assert_eq!(given(&[(4, 5), (6, 7), (2, 8)], cut), "01(redacted)89");
            assert_eq!(given(&[(0, 10)], cut), "(redacted)");
        }
    }

    #[test]
    fn what_was_given_already_can_still_grow() {
        for cut in 2..=4 {
            let (mut hidden, mut out) = (Hidden::default(), Vec::new());
            hidden.add(1..4);
            hidden.give(&b"0123"[..cut], 0, &mut out);
            hidden.add(2..6);
            hidden.give(&b"0123456789"[cut..], cut, &mut out);
            assert_eq!(out, b"0(redacted)6789", "{cut}");
        }
    }

    #[test]
    fn a_place_is_decided_to_its_end_when_nothing_began_before_it() {
        let mut hidden = Hidden::default();
        hidden.add(1..4);
        hidden.add(4..7);
        assert_eq!([0, 1, 3, 4, 8].map(|from| hidden.decided(from)), [0, 4, 4, 7, 8]);
    }
}
