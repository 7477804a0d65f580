//! One stream through the redactor.
//!
//! Rule: a byte is given out when it can no longer be part of a form, and not later. So what is held is always the
//! beginning of a form, with what may stand between its bytes, and the result does not depend on how the stream came
//! in pieces.

use std::collections::VecDeque;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::Redactions;
use super::automaton::{Automaton, ROOT};
use super::hidden::Hidden;
use super::view::{Reading, View};

/// Bytes (of colours, line ends, indents, frames) that may stand between two bytes of a form.
const LONGEST_GAP: usize = 128;
/// A form of which no more than this is there is not worth keeping somebody waiting for.
const FEW: usize = 3;

/// A stream that goes through the redactor, piece by piece.
///
/// It holds back at most the beginning of a form: of its own bytes fewer than the longest form has, and up to 128 more
/// of colours and line ends between two of them.
pub struct Redactor {
    source: Redactions,
    generation: u64,
    automaton: Arc<Automaton>,
    /// What is held, and what was given out while it may still begin a form.
    kept: Zeroizing<Vec<u8>>,
    /// The offset in the stream of the first byte that is kept.
    start: usize,
    /// Everything before this offset was given out.
    given: usize,
    /// The bytes as they are.
    plain: u32,
    joined: Reader,
    spaced: Reader,
    hidden: Hidden,
}

/// Passes what a form may be broken by, at a place where none is going on: nothing begins in it either, as the bytes
/// are. Gives the place behind it, or nothing where a closer look is needed.
#[inline]
fn pass_break(automaton: &Automaton, bytes: &[u8], from: usize) -> Option<usize> {
    if automaton.has_blanks() {
        return None;
    }
    let (mut view, mut at) = (View::new(Reading::Joined), from);
    loop {
        let byte = *bytes.get(at)?;
        if view.passes(byte) && at > from {
            return Some(at);
        }
        if automaton.filter().may_begin(&bytes[at..]) {
            return None;
        }
        let mut first = None;
        view.read(byte, |_, before| first = first.or(Some(at - before)));
        if let Some(first) = first {
            // A line's first byte, which is no blank; of what was no frame, the first of its bytes.
            return (first > from).then_some(first);
        }
        at += 1;
    }
}

/// Where a reading of the stream is in the automaton.
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

impl Redactor {
    pub(super) fn new(source: Redactions) -> Self {
        let (generation, automaton) = source.automaton();
        Self {
            source,
            generation,
            automaton,
            kept: Zeroizing::default(),
            start: 0,
            given: 0,
            plain: ROOT,
            joined: Reader::new(Reading::Joined),
            spaced: Reader::new(Reading::Spaced),
            hidden: Hidden::default(),
        }
    }

    /// Takes the next piece; appends to `out` what can be given out.
    pub fn write(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.renew();
        let from = self.kept.len();
        self.kept.extend_from_slice(bytes);
        self.scan(from);
        let decided = self.hidden.decided(self.held_from());
        self.give(decided, out);
    }

    /// For a stream that has been quiet for a while: gives out what is held, unless it is more than a few bytes of a
    /// form. What follows is still recognised as the rest of the form.
    pub fn flush_ready(&mut self, out: &mut Vec<u8>) {
        self.renew();
        let plain = self.automaton.depth(self.plain);
        let most = plain.max(self.joined.places.len()).max(self.spaced.places.len());
        if most <= FEW {
            self.give(self.start + self.kept.len(), out);
        }
    }

    /// The stream is over: gives out the rest, which is no whole form. The redactor can be used for another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.renew();
        (self.plain, self.joined, self.spaced) = (ROOT, Reader::new(Reading::Joined), Reader::new(Reading::Spaced));
        self.give(self.start + self.kept.len(), out);
    }

    /// Bytes that were written and not given out.
    pub fn held(&self) -> usize {
        self.start + self.kept.len() - self.given
    }

    /// New needles apply to what is held as well.
    fn renew(&mut self) {
        if self.source.generation() == self.generation {
            return;
        }
        (self.generation, self.automaton) = self.source.automaton();
        self.plain = ROOT;
        for reader in [&mut self.joined, &mut self.spaced] {
            reader.forget();
            // With what is kept it is read again from the beginning; without, both are at the root.
            reader.is_apart = false;
            if !self.kept.is_empty() {
                // What is kept begins with a byte of a form, which no line end or colour can be.
                reader.view = View::new(reader.view.reading());
            }
        }
        self.scan(0);
    }

    /// Looks at what is kept from this index on.
    fn scan(&mut self, from: usize) {
        let automaton = Arc::clone(&self.automaton);
        let kept = std::mem::take(&mut self.kept);
        let (mut at, mut closely) = (from, from);
        while at < kept.len() {
            if at >= closely && self.is_idle() {
                (at, closely) = automaton.filter().skip(&kept, at);
            }
            let Some(byte) = kept.get(at) else { break };
            if *byte < b' '
                && self.is_idle()
                && let Some(behind) = pass_break(&automaton, &kept, at)
            {
                (at, closely) = (behind, behind);
                continue;
            }
            self.step(&automaton, *byte, self.start + at);
            at += 1;
        }
        self.kept = kept;
    }

    /// Whether nothing that has come so far matters for what comes.
    #[inline]
    fn is_idle(&self) -> bool {
        self.plain == ROOT && self.joined.is_idle() && self.spaced.is_idle()
    }

    #[inline]
    fn step(&mut self, automaton: &Automaton, byte: u8, place: usize) {
        let before = self.plain;
        self.plain = automaton.next(before, byte);
        let ended = automaton.ended(self.plain);
        if ended > 0 {
            self.hidden.add(place + 1 - ended..place + 1);
        }
        let at = At { automaton, byte, place, before, after: self.plain };
        self.joined.read(&at, &mut self.hidden);
        if automaton.has_blanks() {
            self.spaced.read(&at, &mut self.hidden);
        }
    }

    /// The offset of the first byte that may begin a form.
    fn held_from(&self) -> usize {
        let end = self.start + self.kept.len();
        let plain = end - self.automaton.depth(self.plain);
        // One that reads what is there has the same beginning.
        let first = |reader: &Reader| reader.places.front().copied().unwrap_or(end);
        plain.min(first(&self.joined)).min(first(&self.spaced))
    }

    /// Gives out everything before the offset `until`, and keeps what may begin a form.
    fn give(&mut self, until: usize, out: &mut Vec<u8>) {
        if until > self.given {
            let bytes = &self.kept[self.given - self.start..until - self.start];
            self.hidden.give(bytes, self.given, out);
            self.given = until;
        }
        let cut = self.held_from() - self.start;
        self.kept.drain(..cut);
        self.start += cut;
    }
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

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("held", &self.held()).finish_non_exhaustive()
    }
}
