//! Random numbers that a failure can be repeated with.
//!
//! Rule: the same seed gives the same numbers on every machine; nothing here is fit for secrets.

use std::ops::Range;

/// A small generator (xorshift); its seed must not be zero.
#[derive(Debug)]
pub struct Dice(u64);

impl Dice {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed.max(1))
    }

    /// A number below `limit`; 0 where there is none.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // What is left of 64 bits after the shift fits everywhere.
        usize::try_from(self.0 >> 33).unwrap_or_default() % limit.max(1)
    }

    /// One of these.
    ///
    /// # Panics
    /// Of an empty list there is none.
    pub fn one_of<'a, T: ?Sized>(&mut self, list: &[&'a T]) -> &'a T {
        list[self.below(list.len())]
    }

    /// A part of something that is so long.
    pub fn range(&mut self, length: usize) -> Range<usize> {
        let (one, other) = (self.below(length + 1), self.below(length + 1));
        one.min(other)..one.max(other)
    }
}

#[cfg(test)]
mod tests {
    use super::Dice;

    #[test]
    fn the_same_seed_gives_the_same_numbers_within_their_limits() {
        let (mut one, mut other) = (Dice::new(7), Dice::new(7));
        for limit in 0..2000 {
            let number = one.below(limit);
            assert!(number == other.below(limit) && number < limit.max(1));
            let part = one.range(limit);
            assert!(part == other.range(limit) && part.start <= part.end && part.end <= limit);
        }
    }
}
