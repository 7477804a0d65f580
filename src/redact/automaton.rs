//! All forms as one automaton (Aho and Corasick): one step per byte, and at each step how much of a form the last
//! bytes may be the beginning of, and how long the longest form is that ends here.
//!
//! Rule: own code, because the hold-back needs the depth of a state, and the merging of overlapping forms the longest
//! match at each byte; ready-made stream searches give neither. States are the bytes of secrets: wiped when dropped.

use zeroize::{Zeroize as _, Zeroizing};

/// The state in which the last bytes begin nothing.
pub(super) const ROOT: u32 = 0;

/// One byte of a form, after the bytes that lead to it.
#[derive(Clone, Copy, Default, zeroize::Zeroize)]
struct State {
    /// Where to go on when no byte of this state's follows; of the first two levels, the row in `rows`.
    otherwise: u32,
    /// Bytes from the root to here.
    depth: u32,
    /// Length of the longest form that ends here; 0 for none.
    longest: u32,
    /// The byte that leads here.
    byte: u8,
    /// Whether bytes lead on from here besides the one to the next state in order.
    branches: bool,
}

/// One further way on.
#[derive(Clone, Copy, zeroize::Zeroize)]
struct Branch {
    from: u32,
    byte: u8,
    to: u32,
}

/// The automaton.
pub(super) struct Automaton {
    /// In the order of the sorted forms: the first way on from a state is the state behind it.
    states: Vec<State>,
    /// Sorted.
    branches: Vec<Branch>,
    /// Complete tables of the root and of what follows it directly.
    rows: Vec<[u32; 256]>,
    has_blanks: bool,
}

impl Automaton {
    /// Of these forms: none empty, sorted, each once.
    pub(super) fn new(forms: &[Zeroizing<Vec<u8>>]) -> Self {
        let has_blanks = forms.iter().any(|form| form.contains(&b' '));
        let mut automaton = Self { states: Vec::new(), branches: Vec::new(), rows: Vec::new(), has_blanks };
        let parents = automaton.grow(forms);
        automaton.link(&parents);
        automaton
    }

    /// Whether a form has a blank, so that it matters how blanks are read.
    #[inline]
    pub(super) fn has_blanks(&self) -> bool {
        self.has_blanks
    }

    /// The state after one more byte.
    #[inline]
    pub(super) fn next(&self, mut state: u32, byte: u8) -> u32 {
        loop {
            let here = self.states[state as usize];
            if here.depth <= 1 {
                return self.rows[here.otherwise as usize][usize::from(byte)];
            }
            if let Some(to) = self.follow(state, here, byte) {
                return to;
            }
            state = here.otherwise;
        }
    }

    /// How many of the last bytes are the beginning of a form that is longer than they are.
    #[inline]
    pub(super) fn depth(&self, mut state: u32) -> usize {
        loop {
            let here = self.states[state as usize];
            let behind = self.states.get(state as usize + 1);
            if here.depth <= 1 || behind.is_some_and(|behind| behind.depth == here.depth + 1) {
                return here.depth as usize;
            }
            // A whole form, with which none goes on.
            state = here.otherwise;
        }
    }

    /// How long the longest form is that ends here; 0 when none does.
    #[inline]
    pub(super) fn ended(&self, state: u32) -> usize {
        self.states[state as usize].longest as usize
    }

    #[inline]
    fn follow(&self, state: u32, here: State, byte: u8) -> Option<u32> {
        let behind = self.states.get(state as usize + 1)?;
        if behind.depth == here.depth + 1 && behind.byte == byte {
            return Some(state + 1);
        }
        if !here.branches {
            return None;
        }
        let found = self.branches.binary_search_by_key(&(state, byte), |branch| (branch.from, branch.byte));
        found.ok().map(|index| self.branches[index].to)
    }

    /// Makes a state for each byte that the sorted forms do not share with the one before; gives each state's parent.
    fn grow(&mut self, forms: &[Zeroizing<Vec<u8>>]) -> Vec<u32> {
        // Exactly as many as there will be, so that no copy is left by growing.
        let shared = |(one, other): (&[u8], &[u8])| one.iter().zip(other).take_while(|(a, b)| a == b).count();
        let pairs = || std::iter::once(&[][..]).chain(forms.iter().map(|form| form.as_slice())).zip(forms);
        let count: usize = pairs().map(|(before, form)| form.len() - shared((before, form.as_slice()))).sum();
        self.states.reserve_exact(count + 1);
        self.states.push(State::default());
        let mut parents = vec![ROOT];
        // The states of the form before.
        let mut way = vec![ROOT];
        for (before, form) in pairs() {
            way.truncate(shared((before, form.as_slice())) + 1);
            for byte in &form[way.len() - 1..] {
                let (parent, state) = (way[way.len() - 1], index(self.states.len()));
                let depth = index(way.len());
                if parent + 1 != state {
                    self.states[parent as usize].branches = true;
                    self.branches.push(Branch { from: parent, byte: *byte, to: state });
                }
                self.states.push(State { byte: *byte, depth, ..State::default() });
                parents.push(parent);
                way.push(state);
            }
            let last = way[way.len() - 1] as usize;
            self.states[last].longest = self.states[last].depth;
        }
        self.branches.sort_unstable_by_key(|branch| (branch.from, branch.byte));
        parents
    }

    /// Every state but the root, those nearest to it first. Counted, because of long secrets there are millions.
    fn by_depth(&self) -> Vec<u32> {
        let below_root = || (1..).zip(&self.states[1..]);
        let deepest = below_root().map(|(_, state)| state.depth).max().unwrap_or(0);
        // Where the states of a depth begin; further on, where the next of them goes.
        let mut places = vec![0_usize; deepest as usize + 2];
        below_root().for_each(|(_, state)| places[state.depth as usize + 1] += 1);
        for depth in 1..places.len() {
            places[depth] += places[depth - 1];
        }
        let mut order = vec![ROOT; self.states.len() - 1];
        for (number, state) in below_root() {
            let place = &mut places[state.depth as usize];
            order[*place] = number;
            *place += 1;
        }
        order
    }

    /// Says of each state where to go on otherwise: the longest other beginning of a form that ends here.
    fn link(&mut self, parents: &[u32]) {
        let mut row = [ROOT; 256];
        let order = self.by_depth();
        let tops = order.partition_point(|state| self.states[*state as usize].depth <= 1);
        for state in &order[..tops] {
            row[usize::from(self.states[*state as usize].byte)] = *state;
        }
        self.rows.push(row);
        for (number, state) in (1..).zip(&order[..tops]) {
            // Not yet with what follows; until then as the root's.
            self.rows.push(row);
            self.states[*state as usize].otherwise = number;
        }
        for state in &order[tops..] {
            let (here, parent) = (self.states[*state as usize], parents[*state as usize]);
            let above = self.states[parent as usize];
            let otherwise = if above.depth == 1 {
                self.rows[above.otherwise as usize][usize::from(here.byte)] = *state;
                self.rows[0][usize::from(here.byte)]
            } else {
                self.next(above.otherwise, here.byte)
            };
            let ended = self.states[otherwise as usize].longest;
            let here = &mut self.states[*state as usize];
            here.otherwise = otherwise;
            here.longest = here.longest.max(ended);
        }
    }
}

impl Drop for Automaton {
    fn drop(&mut self) {
        self.states.zeroize();
        self.branches.zeroize();
        self.rows.zeroize();
    }
}

/// The forms of all variables of a run are some hundred megabytes at most.
fn index(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::{Automaton, ROOT};

    fn automaton(forms: &[&str]) -> Automaton {
        Automaton::new(&forms.iter().map(|form| Zeroizing::new(form.as_bytes().to_vec())).collect::<Vec<_>>())
    }

    /// Depth and longest end after each byte.
    fn walk(automaton: &Automaton, text: &str) -> Vec<(usize, usize)> {
        let mut state = ROOT;
        let step = |byte: u8| {
            state = automaton.next(state, byte);
            (automaton.depth(state), automaton.ended(state))
        };
        text.bytes().map(step).collect()
    }

    #[test]
    fn depth_and_end_are_of_the_longest() {
        let automaton = automaton(&["abcd", "bc", "bcde"]);
        assert!(!automaton.has_blanks());
        assert_eq!(walk(&automaton, "xabcdex"), [(0, 0), (1, 0), (2, 0), (3, 2), (3, 4), (0, 4), (0, 0)]);
        assert_eq!(walk(&automaton, "abbcd"), [(1, 0), (2, 0), (1, 0), (2, 2), (3, 0)]);
    }

    #[test]
    fn what_overlaps_itself_ends_at_every_byte() {
        assert_eq!(walk(&automaton(&["aaa"]), "aaaab"), [(1, 0), (2, 0), (2, 3), (2, 3), (0, 0)]);
    }

    #[test]
    fn without_a_form_nothing_begins() {
        assert_eq!(walk(&automaton(&[]), "ab"), [(0, 0), (0, 0)]);
    }
}
