//! How far a stream has come in one automaton: as it is, and as it is read (see `view.rs`).
//!
//! Rule: a reading has a state of its own only where it reads something else than what is there; so most bytes are
//! looked up once.

use std::collections::VecDeque;

use super::automaton::{Automaton, ROOT};
use super::hidden::Hidden;
use super::view::{Reading, View};

/// Bytes (of colours, line ends, indents, frames) that may stand between two bytes of a form.
const LONGEST_GAP: usize = 128;

/// The states of one automaton.
#[derive(Clone)]
pub(super) struct Walk {
    /// The bytes as they are.
    plain: u32,
    joined: Reader,
    spaced: Reader,
}

impl Walk {
    /// At the beginning of a text.
    pub(super) fn new() -> Self {
        Self { plain: ROOT, joined: Reader::new(Reading::Joined), spaced: Reader::new(Reading::Spaced) }
    }

    /// The same in whatever automaton, from this place of the text on: nothing before it is given any more.
    pub(super) fn again(&self) -> Self {
        let mut walk = self.clone();
        walk.joined.view.forget_frame();
        walk.spaced.view.forget_frame();
        walk
    }

    /// One more byte, of which only matters how it changes the way in which the next are read.
    #[inline]
    pub(super) fn pass(&mut self, byte: u8) {
        for view in [&mut self.joined.view, &mut self.spaced.view] {
            view.read(byte, |_, _| {});
        }
    }

    /// Whether nothing that has come so far matters for what comes. Without blanks in a form nobody reads `Spaced`.
    #[inline]
    pub(super) fn is_idle(&self, with_blanks: bool) -> bool {
        self.plain == ROOT && self.joined.is_idle() && (!with_blanks || self.spaced.is_idle())
    }

    /// One more byte, which stands at this place of the stream.
    #[inline]
    pub(super) fn step(
        &mut self,
        automaton: &Automaton,
        byte: u8,
        place: usize,
        with_blanks: bool,
        hidden: &mut Hidden,
    ) {
        let before = self.plain;
        self.plain = automaton.next(before, byte);
        let ended = automaton.ended(self.plain);
        if ended > 0 {
            hidden.add(place + 1 - ended..place + 1);
        }
        let at = At { automaton, byte, place, before, after: self.plain };
        self.joined.read(&at, hidden);
        if with_blanks {
            self.spaced.read(&at, hidden);
        }
    }

    /// How many bytes of a form are there.
    pub(super) fn begun(&self, automaton: &Automaton) -> usize {
        automaton.depth(self.plain).max(self.joined.places.len()).max(self.spaced.places.len())
    }

    /// The offset of the first byte that may begin a form, when the stream has come to the offset `end`.
    pub(super) fn held_from(&self, automaton: &Automaton, end: usize) -> usize {
        let plain = end - automaton.depth(self.plain);
        // One that reads what is there has the same beginning.
        let first = |reader: &Reader| reader.places.front().copied().unwrap_or(end);
        plain.min(first(&self.joined)).min(first(&self.spaced))
    }
}

/// Where a reading of the stream is in the automaton.
#[derive(Clone)]
struct Reader {
    view: View,
    /// Whether it reads something else than what is there. Until then it has neither state nor places of its own.
    is_apart: bool,
    state: u32,
    /// Where the bytes that may begin a form stand in the stream.
    places: VecDeque<usize>,
    /// Bytes left out since the last that was read.
    gap: usize,
}

/// One byte of the stream.
struct At<'a> {
    automaton: &'a Automaton,
    byte: u8,
    place: usize,
    /// The state of the bytes as they are, before this one and after it.
    before: u32,
    after: u32,
}

impl Reader {
    fn new(reading: Reading) -> Self {
        Self { view: View::new(reading), is_apart: false, state: ROOT, places: VecDeque::new(), gap: 0 }
    }

    fn forget(&mut self) {
        self.state = ROOT;
        self.places.clear();
    }

    #[inline]
    fn is_idle(&self) -> bool {
        !self.is_apart && self.view.is_fresh()
    }

    #[inline]
    fn read(&mut self, at: &At<'_>, hidden: &mut Hidden) {
        // Most bytes are read as they are.
        if !self.is_apart && self.view.passes(at.byte) {
            return;
        }
        self.read_apart(at, hidden);
    }

    fn read_apart(&mut self, at: &At<'_>, hidden: &mut Hidden) {
        let automaton = at.automaton;
        if !self.is_apart {
            self.is_apart = true;
            (self.state, self.gap) = (at.before, 0);
            self.places.extend(at.place - automaton.depth(at.before)..at.place);
        }
        let (state, places) = (&mut self.state, &mut self.places);
        let mut is_read = false;
        self.view.read(at.byte, |byte, before| {
            is_read = true;
            *state = automaton.next(*state, byte);
            places.push_back(at.place - before);
            let ended = automaton.ended(*state);
            if ended > 0 {
                // Invariant: there is a place for each byte of the state before, and for this one.
                hidden.add(places[places.len() - ended]..at.place + 1 - before);
            }
            places.drain(..places.len() - automaton.depth(*state));
        });
        if is_read {
            self.gap = 0;
        } else if self.state != ROOT {
            self.gap += 1;
            if self.gap > LONGEST_GAP {
                self.forget();
            }
        }
        // Together again: nothing is left out of what may begin a form.
        let is_whole = |first: &usize| *first + automaton.depth(at.after) == at.place + 1;
        if self.state == at.after && self.view.is_fresh() && self.places.front().is_none_or(is_whole) {
            self.is_apart = false;
            self.forget();
        }
    }
}
