//! Needles that are added while streams are open.
//!
//! Rule: from then on a stream is as if they had been known at the first byte that it still has, and nobody sees how they
//! came to be known.

use support::dice::Dice;

use super::{
    PLACEHOLDER, Redactions, all, in_pieces, looking_at_levels, needles, oracle, shown, some_forms, some_text,
};

#[test]
fn a_needle_that_is_added_applies_to_what_is_held_and_to_what_follows() {
    let mut dice = Dice::new(7);
    for round in 0..support::loops::times(10_000) {
        let (early, late) = (some_forms(&mut dice), some_forms(&mut dice));
        let redactions = looking_at_levels(&mut dice, &early);
        let both = [early.clone(), late.clone()].concat();
        let (before, after) = (some_text(&mut dice, &both), some_text(&mut dice, &both));
        let (mut stream, mut out) = (redactions.stream(), Vec::new());
        in_pieces(&mut dice, &mut stream, &before, &mut out);
        let told = out.len();
        redactions.add(needles(&late));
        in_pieces(&mut dice, &mut stream, &after, &mut out);
        stream.finish(&mut out);
        let known = all(&redactions);
        let text = [before.as_slice(), &after].concat();
        for form in &known {
            let told = &out[told..];
            let is_there = told.windows(form.len()).any(|window| window == form.as_slice());
            let cut = before.len();
            assert!(!is_there, "round {round}: {} of {} cut at {cut} in {}", shown(form), shown(&text), shown(told));
        }
        // Without a form in all of it, nothing changes.
        if oracle::places(&known, &text).is_empty() {
            assert_eq!(shown(&out), shown(&text), "round {round}");
        }
    }
}

/// In layers of their own, or made anew together: nobody can tell.
#[test]
fn however_needles_come_to_be_known_a_stream_gives_the_same() {
    let mut dice = Dice::new(11);
    let mut given = 0;
    for round in 0..support::loops::times(10_000) {
        let forms = some_forms(&mut dice);
        let together = Redactions::new();
        let mut levels = vec![Redactions::new()];
        (0..dice.below(3)).for_each(|_| levels.push(levels[levels.len() - 1].below()));
        let (mut one, mut other) = (together.stream(), levels[levels.len() - 1].stream());
        let (mut outs, mut waiting) = ([Vec::new(), Vec::new()], forms.clone());
        for _ in 0..dice.below(20) {
            match dice.below(4) {
                0 => {
                    if let Some(form) = waiting.pop() {
                        together.add(needles(std::slice::from_ref(&form)));
                        levels[dice.below(levels.len())].add(needles(&[form]));
                    }
                }
                1 => {
                    one.flush_ready(&mut outs[0]);
                    other.flush_ready(&mut outs[1]);
                }
                _ => {
                    let text = some_text(&mut dice, &forms);
                    let piece = &text[dice.range(text.len())];
                    one.write(piece, &mut outs[0]);
                    other.write(piece, &mut outs[1]);
                }
            }
            assert_eq!(shown(&outs[1]), shown(&outs[0]), "round {round}");
        }
        given += outs[0].len();
    }
    assert!(given > 100_000, "nothing was given");
}

#[test]
fn a_needle_is_added_in_the_middle_of_a_character_that_could_be_a_frame() {
    let text = "x\n→secret and \n│ →secret".as_bytes();
    for cut in 0..text.len() {
        for again in cut..text.len() {
            let redactions = Redactions::new();
            redactions.add(needles(&["zzzzzz".into()]));
            let (mut stream, mut out) = (redactions.stream(), Vec::new());
            stream.write(&text[..cut], &mut out);
            redactions.add(needles(&["→secret".into()]));
            stream.write(&text[cut..again], &mut out);
            stream.write(&text[again..], &mut out);
            stream.finish(&mut out);
            // What was given before cannot be taken back.
            let wanted = usize::from(cut <= 2) + usize::from(cut <= text.len() - 9);
            let found = String::from_utf8_lossy(&out).matches(PLACEHOLDER).count();
            assert_eq!(found, wanted, "cut at {cut} and {again}: {}", shown(&out));
        }
    }
}

#[test]
fn what_stands_between_two_places_stays_when_one_is_found_later_than_the_other() {
    let redactions = Redactions::new();
    redactions.add(needles(&["abcdefXYghijklZZZZZ".into(), "ghijkl".into()]));
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    stream.write(b"abcdefXYghijkl", &mut out);
    redactions.add(needles(&["abcdef".into()]));
    stream.finish(&mut out);
    assert_eq!(shown(&out), "(redacted)XY(redacted)");
}

#[test]
fn the_end_of_a_colour_is_no_letter_of_a_secret_whatever_became_known_meanwhile() {
    let redactions = Redactions::new();
    let replaced = |forms: &[&str]| needles(&forms.iter().map(|form| form.as_bytes().to_vec()).collect::<Vec<_>>());
    redactions.add(replaced(&["mabcdef1", "qq qqqq"]));
    let (mut stream, mut out) = (redactions.stream(), Vec::new());
    stream.write(b"\x1b[31mabcd", &mut out);
    redactions.replace(replaced(&["abcdef1", "qq qqqq"]));
    stream.flush_ready(&mut out);
    redactions.add(replaced(&["mabcdef2"]));
    stream.write(b"", &mut out);
    redactions.add(replaced(&["qqqqqqqq"]));
    stream.write(b"e\x1b[0mf2 ok\n", &mut out);
    stream.finish(&mut out);
    assert_eq!(shown(&out), shown(b"\x1b[31mabcde\x1b[0mf2 ok\n"));
}
