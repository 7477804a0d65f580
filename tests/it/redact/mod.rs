//! The redactor against programs that encode: by other code than its own, and by the real ones.
//!
//! Rule: each case is a secret of one kind in what one carrier makes of it. It is cut at every place, and no piece of
//! the carrier's form may be left, wherever the cut is.

mod carriers;
mod corpus;
mod programs;

use nigari::redact::{Needles, PLACEHOLDER, Redactions};
use nigari::secret::Secret;

/// What is looked for in a run with this credential.
fn looking_for(user: &str, password: &str) -> Redactions {
    let (redactions, mut needles) = (Redactions::new(), Needles::new());
    needles.login(user, &Secret::from(password));
    redactions.add(needles);
    redactions
}

/// What comes out when the text comes in these pieces.
fn through(redactions: &Redactions, pieces: &[&[u8]]) -> Vec<u8> {
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    for piece in pieces {
        stream.write(piece, &mut out);
    }
    stream.finish(&mut out);
    out
}

/// What may be left of a form: nothing but so many characters at its ends, which hold bits of its neighbours as well.
fn is_hidden(form: &[u8], out: &[u8], ends: usize) -> bool {
    let placeholder = PLACEHOLDER.as_bytes();
    let Some(at) = out.windows(placeholder.len()).position(|window| window == placeholder) else { return false };
    let (before, after) = (&out[..at], &out[at + placeholder.len()..]);
    before.len() + after.len() <= ends && form.starts_with(before) && form.ends_with(after)
}
