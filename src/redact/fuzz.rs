//! The redactor, fed with anything: forms, a text, and where it is cut.
//!
//! Rule: it does what the oracle does, at any cut; with a real secret nothing of that is left in plain.

use super::{Needles, Redactions, oracle};
use crate::secret::Secret;

/// More would only be slow: the oracle looks at every place for every form.
const MOST: usize = 400;

/// First byte: a real secret (odd) or forms as they are; then forms, each with its length before it, up to three; then the
/// text. Cuts come from the bytes themselves.
pub(crate) fn redactor(data: &[u8]) {
    let Some((kind, mut rest)) = data.split_first() else { return };
    let mut forms = Vec::new();
    for _ in 0..=(kind >> 1) % 3 {
        let Some((length, behind)) = rest.split_first() else { return };
        let Some((form, behind)) = behind.split_at_checked(usize::from(*length % 48)) else { return };
        forms.push(form.to_vec());
        rest = behind;
    }
    let text = rest.get(..MOST).unwrap_or(rest);
    if kind % 2 == 1 { real(&forms, text) } else { bare(&forms, text) }
}

/// Forms alone, each in a layer of its own, compared with the oracle.
fn bare(forms: &[Vec<u8>], text: &[u8]) {
    let (mut redactions, mut known) = (Redactions::new(), Vec::new());
    for form in forms {
        let mut needles = Needles::new();
        needles.0.add(form);
        // What is too short is not looked for.
        known.extend(needles.0.all().iter().map(|form| form.to_vec()));
        redactions = redactions.below();
        redactions.add(needles);
    }
    let expected = oracle::redacted(&known, text);
    for step in [1, 7, text.len().max(1)] {
        assert!(pieces(&redactions, text, step) == expected, "not what the oracle says, in pieces of {step}");
    }
}

/// A secret in all of its forms.
fn real(secrets: &[Vec<u8>], text: &[u8]) {
    let redactions = Redactions::new();
    let secrets: Vec<String> = secrets.iter().map(|secret| String::from_utf8_lossy(secret).trim().to_owned()).collect();
    let mut needles = Needles::new();
    for secret in &secrets {
        needles.login("user", &Secret::from(secret.as_str()));
    }
    redactions.add(needles);
    let whole = pieces(&redactions, text, text.len().max(1));
    for step in [1, 13] {
        assert!(pieces(&redactions, text, step) == whole, "another result in pieces of {step}");
    }
    let looked_for = secrets.iter().filter(|secret| secret.len() >= super::SHORTEST);
    for secret in looked_for {
        assert!(!is_left(secret.as_bytes(), &whole), "a secret is left");
    }
}

/// Whether a secret stands in clear in what was given out. Two marks never overlap, so what is between them stood so in
/// the text; what they make together with it is chance.
fn is_left(secret: &[u8], given: &[u8]) -> bool {
    let mark = super::PLACEHOLDER.as_bytes();
    let mut rest = given;
    loop {
        let next = rest.windows(mark.len()).position(|window| window == mark);
        let between = &rest[..next.unwrap_or(rest.len())];
        if between.windows(secret.len()).any(|window| window == secret) {
            return true;
        }
        let Some(next) = next else { return false };
        rest = &rest[next + mark.len()..];
    }
}

fn pieces(redactions: &Redactions, text: &[u8], step: usize) -> Vec<u8> {
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    for piece in text.chunks(step) {
        stream.write(piece, &mut out);
        assert!(stream.held() <= text.len(), "more is held than was written");
    }
    stream.finish(&mut out);
    assert!(stream.held() == 0, "something is held at the end");
    out
}

#[cfg(test)]
mod tests {
    use super::is_left;

    #[test]
    fn a_secret_beside_a_mark_is_seen_and_one_that_the_mark_makes_is_not() {
        for (secret, given, is_there) in [
            ("hunter22", "hunter22", true),
            ("hunter22", "(redacted) hunter22", true),
            ("hunter22", "hunter22(redacted)(redacted)", true),
            ("hunter22", "hunter(redacted)22", false),
            ("redacted", "((redacted))", false),
            ("ted)hunter", "(redacted)hunter", false),
            ("ted)hunter", "(redacted)ted)hunter", true),
            ("((redac", "((redacted)", false),
        ] {
            assert_eq!(is_left(secret.as_bytes(), given.as_bytes()), is_there, "{secret} {given}");
        }
    }
}
