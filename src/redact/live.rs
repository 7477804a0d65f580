//! All redactions of this process: for its own log, in which anything may be told about any run.
//!
//! Rule: what lives is looked for; nobody has to remember to say when a run is over.

use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{Redactions, Shared};

static LIVE: Mutex<Vec<Weak<Shared>>> = Mutex::new(Vec::new());

fn live() -> MutexGuard<'static, Vec<Weak<Shared>>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn enter(shared: &Arc<Shared>) {
    let mut live = live();
    live.retain(|known| known.strong_count() > 0);
    live.push(Arc::downgrade(shared));
}

/// A whole text without the secrets of any [`Redactions`] that live.
pub fn hide_all(text: &[u8]) -> Cow<'_, [u8]> {
    let living: Vec<Redactions> = live().iter().filter_map(Weak::upgrade).map(Redactions).collect();
    living.iter().fold(Cow::Borrowed(text), |text, redactions| Cow::Owned(redactions.bytes(&text)))
}

/// Writes each piece, which must be a whole message, through [`hide_all`].
#[derive(Debug)]
pub struct AnyLive<W>(pub W);

impl<W: Write> Write for AnyLive<W> {
    fn write(&mut self, message: &[u8]) -> io::Result<usize> {
        self.0.write_all(&hide_all(message))?;
        Ok(message.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
