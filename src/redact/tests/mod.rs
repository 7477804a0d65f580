//! The redactor against an oracle that has the whole text and no automaton.
//!
//! Rule: texts are made of pieces of the forms themselves, over few letters, so that nearly all of them overlap, repeat
//! or begin one another.

mod adding;

use std::ops::Range;

use support::dice::Dice;

use super::{Needles, PLACEHOLDER, Redactions, Redactor, oracle};
use crate::secret::Secret;

/// Needles that are looked for in these forms alone.
fn needles(forms: &[Vec<u8>]) -> Needles {
    let mut needles = Needles::new();
    for form in forms {
        needles.0.add(form);
    }
    needles
}

fn looking_for(forms: &[Vec<u8>]) -> Redactions {
    let redactions = Redactions::new();
    redactions.add(needles(forms));
    redactions
}

/// Some of the forms above, some below: each has layers of its own.
fn looking_at_levels(dice: &mut Dice, forms: &[Vec<u8>]) -> Redactions {
    let mut redactions = Redactions::new();
    for form in forms {
        if dice.below(2) > 0 {
            redactions = redactions.below();
        }
        redactions.add(needles(std::slice::from_ref(form)));
    }
    redactions
}

/// What every form is read as.
fn all(redactions: &Redactions) -> Vec<Vec<u8>> {
    redactions.layers().1.forms().map(<[u8]>::to_vec).collect()
}

const LETTERS: [&[u8]; 7] = [b"a", b"a", b"b", b"ab", b" ", b"\n", "→".as_bytes()];
const BETWEEN: [&[u8]; 14] = [
    b"\n",
    b"\r\n",
    b"\n  ",
    b"\n\xE2\x94\x82 ",
    b"\n\x1b[31m\xE2\x94\x82\x1b[0m ",
    b"\x1b[1m",
    b"\x1b(B",
    b"\x1b[",
    b"\x1b",
    b"\xE2",
    b" ",
    b"  ",
    b"\t",
    b"x",
];

/// Some forms of six bytes and more.
fn some_forms(dice: &mut Dice) -> Vec<Vec<u8>> {
    let form = |dice: &mut Dice| {
        let mut form = Vec::new();
        while form.len() < 6 || dice.below(6) > 0 {
            form.extend_from_slice(dice.one_of(&LETTERS));
        }
        form
    };
    (0..=dice.below(3)).map(|_| form(dice)).collect()
}

/// Text that is full of pieces of the forms.
fn some_text(dice: &mut Dice, forms: &[Vec<u8>]) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..dice.below(8) {
        let form = &forms[dice.below(forms.len())];
        match dice.below(8) {
            0..3 => text.extend_from_slice(form),
            3..5 => text.extend_from_slice(&form[dice.range(form.len())]),
            5 => text.extend_from_slice(dice.one_of(&BETWEEN)),
            6 => text.extend(std::iter::repeat_n(b'x', dice.below(40))),
            _ => {
                // As a terminal would show it.
                let cut = dice.below(form.len());
                text.extend([&form[..cut], dice.one_of(&BETWEEN), &form[cut..]].concat());
            }
        }
    }
    text
}

/// Writes the text in pieces.
fn in_pieces(dice: &mut Dice, stream: &mut Redactor, text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(1 + dice.below(rest.len()));
        stream.write(piece, out);
        rest = behind;
    }
}

fn shown(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

#[test]
fn it_does_what_the_oracle_does_at_any_split() {
    let mut dice = Dice::new(0x9E37_79B9_7F4A_7C15);
    let (mut hidden, mut layers) = (0, 0_usize);
    let rounds = support::loops::times(6_000);
    for round in 0..rounds {
        let forms = some_forms(&mut dice);
        let redactions = looking_at_levels(&mut dice, &forms);
        let known = all(&redactions);
        layers += redactions.layers().1.all().len();
        for _ in 0..20 {
            let text = some_text(&mut dice, &forms);
            let wanted = oracle::redacted(&known, &text);
            hidden += usize::from(wanted != text);
            let (mut stream, mut out) = (redactions.stream(), Vec::new());
            in_pieces(&mut dice, &mut stream, &text, &mut out);
            assert!(stream.held() <= known.iter().map(Vec::len).max().unwrap_or(0) * 130);
            stream.finish(&mut out);
            let list: Vec<String> = known.iter().map(|form| shown(form)).collect();
            assert_eq!(shown(&out), shown(&wanted), "round {round}: {list:?} in {:?}", shown(&text));
        }
    }
    assert!(hidden > 1000, "nothing was to be hidden");
    assert!(layers * 4 > rounds as usize * 5, "nearly always one layer");
}

#[test]
fn a_quiet_stream_gives_at_most_three_bytes_of_a_form() {
    let mut dice = Dice::new(11);
    for _ in 0..support::loops::times(10_000) {
        let mut forms = some_forms(&mut dice);
        for form in &mut forms {
            form.retain(u8::is_ascii_alphabetic);
        }
        forms.retain(|form| form.len() >= 6);
        if forms.is_empty() {
            continue;
        }
        let redactions = looking_for(&forms);
        let mut text = some_text(&mut dice, &forms);
        text.retain(u8::is_ascii_alphabetic);
        let (mut stream, mut out) = (redactions.stream(), Vec::new());
        for (byte, end) in text.iter().zip(1..) {
            stream.write(&[*byte], &mut out);
            if dice.below(2) == 0 {
                stream.flush_ready(&mut out);
                let begins = |form: &Vec<u8>| (4..form.len()).any(|length| text[..end].ends_with(&form[..length]));
                assert!(stream.held() == 0 || forms.iter().any(begins), "{} bytes are held for nothing", stream.held());
            }
        }
        stream.finish(&mut out);
        let places = oracle::places(&all(&redactions), &text);
        assert!(is_alike(&text, &places, 0, &out), "{} of {}", shown(&out), shown(&text));
    }
}

/// Whether `out` is the text from `at` on with up to three bytes of each place left.
fn is_alike(text: &[u8], places: &[Range<usize>], at: usize, out: &[u8]) -> bool {
    let Some((place, others)) = places.split_first() else { return out == &text[at..] };
    (0..=3).any(|left| {
        let left = text.get(at..place.start + left);
        let rest =
            left.and_then(|left| out.strip_prefix(left)).and_then(|out| out.strip_prefix(PLACEHOLDER.as_bytes()));
        rest.is_some_and(|rest| is_alike(text, others, place.end, rest) || goes_on(text, others, place.end, rest))
    })
}

/// The same, where the place is of several forms that overlap, and of a further one a few bytes were given too.
fn goes_on(text: &[u8], others: &[Range<usize>], end: usize, out: &[u8]) -> bool {
    let left = |left: usize| out.get(left..).and_then(|out| out.strip_prefix(PLACEHOLDER.as_bytes()));
    let goes_on = |rest: &[u8]| is_alike(text, others, end, rest) || goes_on(text, others, end, rest);
    (1..=3).filter_map(left).any(goes_on)
}

#[test]
fn what_begins_no_form_leaves_at_once() {
    let redactions = looking_for(&[b"hunter22".to_vec()]);
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    for (piece, told, held) in [
        ("all is well, ", "all is well, ", 0),
        ("h", "all is well, ", 1),
        ("ello hunte", "all is well, hello ", 5),
        ("\n", "all is well, hello ", 6),
        ("d it\n", "all is well, hello hunte\nd it\n", 0),
        ("hunter22", "all is well, hello hunte\nd it\n(redacted)", 0),
        ("\n", "all is well, hello hunte\nd it\n(redacted)\n", 0),
    ] {
        stream.write(piece.as_bytes(), &mut out);
        assert_eq!((String::from_utf8_lossy(&out).as_ref(), stream.held()), (told, held), "{piece:?}");
    }
}

#[test]
fn a_gap_without_end_is_not_waited_for() {
    let redactions = looking_for(&[b"hunter22".to_vec()]);
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    stream.write(b"hunt", &mut out);
    for _ in 0..100_000 {
        stream.write(b"\n", &mut out);
        assert!(stream.held() <= 4 + 128);
    }
    stream.write(b"er22", &mut out);
    stream.finish(&mut out);
    assert_eq!(out.len(), 100_008);
}

#[test]
fn what_is_above_is_looked_for_below_and_a_replaced_needle_no_more() {
    let (above, mut needles) = (Redactions::new(), Needles::new());
    let below = above.below();
    assert_eq!(below.text("token-1 and token-2"), "token-1 and token-2");
    needles.secret(&Secret::from("token-1"));
    above.replace(needles);
    assert_eq!(below.text("token-1 and token-2"), "(redacted) and token-2");
    let mut needles = Needles::new();
    needles.secret(&Secret::from("token-2"));
    above.replace(needles);
    assert_eq!(below.text("token-1 and token-2"), "token-1 and (redacted)");
}

#[test]
fn nothing_is_shown_by_debug() {
    let mut needles = Needles::new();
    needles.login("robot", &Secret::from("hunter22"));
    assert!(!format!("{needles:?}").contains("hunter22"));
    let redactions = Redactions::new();
    redactions.add(needles);
    let mut stream = redactions.stream();
    stream.write(b"hunter2", &mut Vec::new());
    assert!(!format!("{redactions:?} {stream:?}").contains("unter2"));
}

#[test]
fn the_agents_own_log_has_the_secrets_of_no_run_that_is_at_work() {
    use std::io::Write as _;
    let (one, other) = (looking_for(&[b"live-secret-1".to_vec()]), looking_for(&[b"live-secret-2".to_vec()]));
    let told = || {
        let mut writer = super::AnyLive(Vec::new());
        writer.write_all(b"live-secret-1 live-secret-2\n").unwrap();
        String::from_utf8(writer.0).unwrap()
    };
    assert_eq!(told(), "(redacted) (redacted)\n");
    drop(one);
    assert_eq!(told(), "live-secret-1 (redacted)\n");
    drop(other);
}
