//! The streaming redactor: what leaves the host carries none of a run's secrets, in no form that is usual.
//!
//! Rule: exact. A secret is found in every form of `forms/`, at any split of the stream, wrapped, indented, coloured;
//! what overlaps is replaced as one; text without a secret passes byte for byte and at once. It guards against
//! accidents: whoever can run code with a secret can also turn it into something that nobody recognises.

mod automaton;
mod filter;
mod forms;
// Fed by fuzzers.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod hidden;
mod layers;
mod live;
#[cfg(any(test, fuzzing))]
mod oracle;
mod stream;
mod view;
mod walk;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub use hidden::PLACEHOLDER;
pub use live::{AnyLive, hide_all};
pub use stream::Redactor;

use crate::secret::Secret;
use filter::SHORTEST;
use forms::Forms;
use layers::{Layer, Layers, Stack};

/// What people are told of a secret of which [`is_too_short`] is true.
pub const TOO_SHORT: &str = "the secret has fewer than 6 bytes: that is too short to be hidden in logs, where it would be \
                             found by chance";

/// Whether a secret is there, but not looked for because it has too few bytes.
pub fn is_too_short(secret: &Secret) -> bool {
    (1..SHORTEST).contains(&secret.expose().trim().len())
}

/// Secrets to look for, as the forms that they can take.
///
/// A secret of fewer than 6 bytes (not counting blanks at its ends) is not looked for: it would be found by chance all
/// over clean text. Lines of a secret of several are looked for by themselves from 8 bytes on. Of a value of more than
/// 16 KiB only the usual forms are: plain, JSON, base64, its lines.
#[derive(Default)]
pub struct Needles(Forms);

impl Needles {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A password, a token, a variable's value.
    pub fn secret(&mut self, secret: &Secret) {
        forms::of_secret(secret.expose(), &mut self.0);
    }

    /// A token that lives for minutes, of which a run may have many: in fewer forms, so that a log with a hundred of them
    /// is as fast as before. Tokens have no characters that a shell would change.
    pub fn token(&mut self, token: &Secret) {
        forms::of_token(token.expose(), &mut self.0);
    }

    /// A secret, also together with its user as `user:secret`, which is what Docker's files and basic authentication
    /// encode.
    pub fn login(&mut self, user: &str, secret: &Secret) {
        self.secret(secret);
        forms::of_login(user, secret.expose(), &mut self.0);
    }
}

impl std::fmt::Debug for Needles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Needles({} forms)", self.0.all().len())
    }
}

/// What is looked for; clones share it, and streams that are open take what is added.
#[derive(Clone)]
pub struct Redactions(Arc<Shared>);

pub(in crate::redact) struct Shared {
    /// Looked for as well.
    above: Option<Redactions>,
    generation: AtomicU64,
    own: Mutex<Own>,
}

#[derive(Default)]
struct Own {
    /// In no layer yet.
    new: Vec<Needles>,
    stack: Stack,
    /// With the generation that they were made of, and those above.
    made: Option<(u64, Arc<Layers>)>,
}

impl Redactions {
    /// Nothing to look for yet. As long as it lives, [`hide_all`] looks for it too.
    pub fn new() -> Self {
        Self::open(None)
    }

    /// The same, and whatever these look for at any time.
    #[must_use]
    pub fn below(&self) -> Self {
        Self::open(Some(self.clone()))
    }

    fn open(above: Option<Self>) -> Self {
        let shared = Arc::new(Shared { above, generation: AtomicU64::new(1), own: Mutex::default() });
        live::enter(&shared);
        Self(shared)
    }

    /// From now on looks for these too, also in what streams hold at the moment.
    pub fn add(&self, needles: Needles) {
        self.own().new.push(needles);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// From now on looks for these instead of its own earlier ones.
    pub fn replace(&self, needles: Needles) {
        let mut own = self.own();
        own.stack.clear();
        own.new = vec![needles];
        drop(own);
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// A stream of bytes.
    pub fn stream(&self) -> Redactor {
        Redactor::new(self.clone())
    }

    /// A whole text.
    pub fn text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.bytes(text.as_bytes())).into_owned()
    }

    fn bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let (mut stream, mut out) = (self.stream(), Vec::with_capacity(bytes.len()));
        stream.write(bytes, &mut out);
        stream.finish(&mut out);
        out
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.0.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes with everything that is added, here or above.
    fn generation(&self) -> u64 {
        let above = self.0.above.as_ref().map_or(0, Self::generation);
        self.0.generation.load(Ordering::Acquire) + above
    }

    /// The layers of now, made by whoever needs them first.
    fn layers(&self) -> (u64, Arc<Layers>) {
        let generation = self.generation();
        let mut own = self.own();
        if let Some((made_of, layers)) = &own.made
            && *made_of == generation
        {
            return (generation, Arc::clone(layers));
        }
        let mut all = own.settle().to_vec();
        let mut above = &self.0.above;
        while let Some(redactions) = above {
            all.extend_from_slice(redactions.own().settle());
            above = &redactions.0.above;
        }
        let layers = Arc::new(Layers::new(all));
        own.made = Some((generation, Arc::clone(&layers)));
        (generation, layers)
    }
}

impl Own {
    /// Its layers, with what is new.
    fn settle(&mut self) -> &[Arc<Layer>] {
        self.stack.add(self.new.drain(..).flat_map(|needles| needles.0.into_all()).collect());
        self.stack.layers()
    }
}

impl Default for Redactions {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Redactions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = self.own();
        write!(f, "Redactions({} layers, {} new)", own.stack.layers().len(), own.new.len())
    }
}

#[cfg(test)]
mod tests;
