//! What is looked for at one time: layers, each with an automaton of its own, and one filter for all of them.
//!
//! Rule: what is large and long known is not made anew for what is small and new. A layer is joined with new forms only
//! while it is not much larger than they are, so that each form is built in again only as often as its layer grows by
//! half, and there are few layers.

use std::sync::Arc;

use zeroize::Zeroizing;

use super::automaton::Automaton;
use super::filter::Filter;

/// How many times as large as what is new a layer may be to be made anew with it.
const MUCH_LARGER: usize = 2;

/// Forms that were made into an automaton together.
pub(super) struct Layer {
    /// Sorted, each once.
    forms: Vec<Zeroizing<Vec<u8>>>,
    /// Of all of them.
    bytes: usize,
    automaton: Automaton,
}

impl Layer {
    /// Of these forms, none empty.
    fn new(mut forms: Vec<Zeroizing<Vec<u8>>>) -> Self {
        forms.sort_unstable_by(|one, other| one.as_slice().cmp(other.as_slice()));
        forms.dedup_by(|one, other| one.as_slice() == other.as_slice());
        let (bytes, automaton) = (bytes_of(&forms), Automaton::new(&forms));
        Self { forms, bytes, automaton }
    }

    /// The automaton of its forms.
    pub(super) fn automaton(&self) -> &Automaton {
        &self.automaton
    }
}

fn bytes_of(forms: &[Zeroizing<Vec<u8>>]) -> usize {
    forms.iter().map(|form| form.len()).sum()
}

/// The layers of one [`super::Redactions`], the largest first.
#[derive(Default)]
pub(super) struct Stack(Vec<Arc<Layer>>);

impl Stack {
    /// Takes more forms.
    pub(super) fn add(&mut self, mut forms: Vec<Zeroizing<Vec<u8>>>) {
        if forms.is_empty() {
            return;
        }
        let mut bytes = bytes_of(&forms);
        while let Some(layer) = self.0.pop_if(|layer| layer.bytes <= bytes * MUCH_LARGER) {
            bytes += layer.bytes;
            forms.extend_from_slice(&layer.forms);
        }
        self.0.push(Arc::new(Layer::new(forms)));
    }

    /// Has none any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Its layers.
    pub(super) fn layers(&self) -> &[Arc<Layer>] {
        &self.0
    }
}

/// All layers that a stream has to do with.
pub(super) struct Layers {
    /// One at least.
    all: Vec<Arc<Layer>>,
    filter: Filter,
}

impl Layers {
    /// Of these.
    pub(super) fn new(mut all: Vec<Arc<Layer>>) -> Self {
        if all.is_empty() {
            all.push(Arc::new(Layer::new(Vec::new())));
        }
        let has_blanks = all.iter().any(|layer| layer.automaton.has_blanks());
        let filter = Filter::new(all.iter().flat_map(|layer| &layer.forms), has_blanks);
        Self { all, filter }
    }

    /// Each of them.
    pub(super) fn all(&self) -> &[Arc<Layer>] {
        &self.all
    }

    /// Where to look closer at all.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// See there.
    #[inline]
    pub(super) fn has_blanks(&self) -> bool {
        self.filter.has_blanks()
    }

    /// Every form.
    #[cfg(test)]
    pub(super) fn forms(&self) -> impl Iterator<Item = &[u8]> {
        self.all.iter().flat_map(|layer| &layer.forms).map(|form| form.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use zeroize::Zeroizing;

    use super::Stack;

    fn forms(name: &str, count: usize) -> Vec<Zeroizing<Vec<u8>>> {
        (0..count).map(|number| Zeroizing::new(format!("{name}-{number:08}").into_bytes())).collect()
    }

    fn sizes(stack: &Stack) -> Vec<usize> {
        stack.layers().iter().map(|layer| layer.forms.len()).collect()
    }

    #[test]
    fn what_is_large_stays_as_it_was_made_when_little_is_added() {
        let mut stack = Stack::default();
        stack.add(forms("a", 1000));
        let large = Arc::clone(&stack.layers()[0]);
        for number in 0..100 {
            stack.add(forms(&format!("token-{number}"), 1));
            assert!(Arc::ptr_eq(&large, &stack.layers()[0]));
        }
        assert_eq!(sizes(&stack).iter().sum::<usize>(), 1100);
        assert!(stack.layers().len() <= 6, "{:?}", sizes(&stack));
    }

    #[test]
    fn much_that_is_added_takes_in_what_is_smaller() {
        let mut stack = Stack::default();
        stack.add(Vec::new());
        assert_eq!(sizes(&stack), [0; 0]);
        stack.add(forms("a", 10));
        // What is there already is there once.
        stack.add(forms("a", 10));
        assert_eq!(sizes(&stack), [10]);
        stack.add(forms("b", 4));
        assert_eq!(sizes(&stack), [10, 4]);
        stack.add(forms("c", 3));
        assert_eq!(sizes(&stack), [17]);
        stack.clear();
        assert!(stack.layers().is_empty());
    }
}
