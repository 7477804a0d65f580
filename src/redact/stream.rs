//! One stream through the redactor.
//!
//! Rule: a byte is given out when it can no longer be part of a form, and not later. So what is held is always the
//! beginning of a form, with what may stand between its bytes, and the result does not depend on how the stream came
//! in pieces.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::Redactions;
use super::hidden::Hidden;
use super::layers::{Layer, Layers};
use super::view::{Reading, View};
use super::walk::Walk;

/// A form of which no more than this is there is not worth keeping somebody waiting for.
const FEW: usize = 3;

/// A stream that goes through the redactor, piece by piece.
///
/// It holds back at most the beginning of a form: of its own bytes fewer than the longest form has, and up to 128 more
/// of colours and line ends between two of them.
pub struct Redactor {
    source: Redactions,
    generation: u64,
    layers: Arc<Layers>,
    /// One in each layer.
    walks: Vec<Walk>,
    /// What is held, and what was given out while it may still begin a form.
    kept: Zeroizing<Vec<u8>>,
    /// The offset in the stream of the first byte that is kept.
    start: usize,
    /// How the text is read just before that byte, which does not depend on what is looked for.
    at_start: Walk,
    /// The last offset at which nothing was going on, for what was looked for then.
    idle_at: usize,
    /// Everything before this offset was given out.
    given: usize,
    hidden: Hidden,
}

/// Passes what a form may be broken by, at a place where none is going on: nothing begins in it either, as the bytes
/// are. Gives the place behind it, or nothing where a closer look is needed.
#[inline]
fn pass_break(layers: &Layers, bytes: &[u8], from: usize) -> Option<usize> {
    if layers.has_blanks() {
        return None;
    }
    let (mut view, mut at) = (View::new(Reading::Joined), from);
    loop {
        let byte = *bytes.get(at)?;
        if view.passes(byte) && at > from {
            return Some(at);
        }
        if layers.filter().may_begin(&bytes[at..]) {
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

impl Redactor {
    pub(super) fn new(source: Redactions) -> Self {
        let (generation, layers) = source.layers();
        let walks = layers.all().iter().map(|_| Walk::new()).collect();
        let (kept, hidden) = (Zeroizing::default(), Hidden::default());
        Self { source, generation, layers, walks, kept, start: 0, at_start: Walk::new(), idle_at: 0, given: 0, hidden }
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
        let most = self.each().map(|(walk, layer)| walk.begun(layer.automaton())).max();
        if most.unwrap_or(0) <= FEW {
            self.give(self.start + self.kept.len(), out);
        }
    }

    /// The stream is over: gives out the rest, which is no whole form. The redactor can be used for another stream.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.renew();
        self.walks.fill_with(Walk::new);
        self.idle_at = self.start + self.kept.len();
        self.give(self.idle_at, out);
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
        (self.generation, self.layers) = self.source.layers();
        // All of it lies within what is kept, and is found again in order.
        self.hidden.forget_ahead();
        self.walks = self.layers.all().iter().map(|_| self.at_start.again()).collect();
        self.scan(0);
    }

    /// Looks at what is kept from this index on.
    fn scan(&mut self, from: usize) {
        let layers = Arc::clone(&self.layers);
        let kept = std::mem::take(&mut self.kept);
        let (mut at, mut closely) = (from, from);
        while at < kept.len() {
            let is_idle = self.walks.iter().all(|walk| walk.is_idle(layers.has_blanks()));
            if is_idle {
                if at >= closely {
                    (at, closely) = layers.filter().skip(&kept, at);
                }
                self.idle_at = self.start + at;
            }
            let Some(byte) = kept.get(at) else { break };
            if *byte < b' '
                && is_idle
                && let Some(behind) = pass_break(&layers, &kept, at)
            {
                (at, closely) = (behind, behind);
                continue;
            }
            for (walk, layer) in self.walks.iter_mut().zip(layers.all()) {
                walk.step(layer.automaton(), *byte, self.start + at, layers.has_blanks(), &mut self.hidden);
            }
            at += 1;
        }
        self.kept = kept;
    }

    /// Each walk with its layer.
    fn each(&self) -> impl Iterator<Item = (&Walk, &Layer)> {
        self.walks.iter().zip(self.layers.all().iter().map(Arc::as_ref))
    }

    /// The offset of the first byte that may begin a form.
    fn held_from(&self) -> usize {
        let end = self.start + self.kept.len();
        self.each().map(|(walk, layer)| walk.held_from(layer.automaton(), end)).fold(end, usize::min)
    }

    /// Gives out everything before the offset `until`, and keeps what may begin a form.
    fn give(&mut self, until: usize, out: &mut Vec<u8>) {
        if until > self.given {
            let bytes = &self.kept[self.given - self.start..until - self.start];
            self.hidden.give(bytes, self.given, out);
            self.given = until;
        }
        let cut = self.held_from() - self.start;
        // Where nothing was going on, the text is read as at its beginning.
        let idle = self.idle_at.checked_sub(self.start).filter(|idle| *idle <= cut);
        if idle.is_some() {
            self.at_start = Walk::new();
        }
        for byte in &self.kept[idle.unwrap_or(0)..cut] {
            self.at_start.pass(*byte);
        }
        self.kept.drain(..cut);
        self.start += cut;
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redactor").field("held", &self.held()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::redact::{Needles, Redactions};
    use crate::secret::Secret;

    fn needles(secret: &str) -> Needles {
        let mut needles = Needles::new();
        needles.secret(&Secret::from(secret));
        needles
    }

    /// Else each byte of all that follows would be looked up in each layer.
    #[test]
    fn clean_text_is_passed_over_again_after_a_needle_was_added_anywhere() {
        for end in ["\n", " ", "\t", "\r\n", "x", "\u{1b}[1m"] {
            let redactions = Redactions::new();
            redactions.add(needles("hunter22"));
            let (mut stream, mut out) = (redactions.stream(), Vec::new());
            stream.write(format!("a line{end}").as_bytes(), &mut out);
            redactions.add(needles("tokentoken"));
            for _ in 0..10 {
                stream.write(b"        clean and long enough\n", &mut out);
            }
            let behind = stream.start + stream.kept.len() - stream.idle_at;
            assert!(behind <= 4, "{end:?}: nothing is passed over any more");
        }
    }
}
