//! Secrets of many kinds in every carrier, cut everywhere.

use super::carriers::CARRIERS;
use super::{is_hidden, looking_for, through};

const USER: &str = "robot$acme+ci";

/// Kinds of secrets: what registries and clouds give out, and what people make up.
const SECRETS: &[(&str, &str)] = &[
    ("six letters", "hunter"),
    ("digits", "8421099"),
    ("a personal token", "ghp_16C7e42F292c6912E7710c838347Ae178B4a"),
    (
        "a fine-grained token",
        "github_pat_11ABCDEFG0aBcDeFgHiJkL_MnOpQrStUvWxYz0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH12",
    ),
    ("a GitLab token", "glpat-x9sTQ-2bYkS7vdR4Jq1z"),
    ("a UUID", "7b0c9b9e-5f0a-4a53-9c0e-3f2a1d0b6c11"),
    ("base64 itself", "dGhpcyBpcyBhIHNlY3JldD8/Pj4+Cg=="),
    ("a JWT", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJyb2JvdCJ9.TJVA95OrM7E2cBab30RMHrHDcEfxjoYZgeFONFh7HgQ"),
    ("an AWS key", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
    ("reserved characters", ":/?#[]@!$&'()*+,;=%"),
    ("quotes and backslashes", "a\"b'c\\d`e\\\\f\"\"''"),
    ("templates", "${x}%{y}$${z}$(id)#{w}"),
    ("markup", "<p class=\"a\">&amp;&lt;</p>"),
    ("umlauts", "Straße nach Köln"),
    ("other letters", "пароль-密码-🔑🔑"),
    ("blanks", "correct horse  battery staple"),
    ("repeating itself", "abcabcabcabcabc"),
    ("one letter", "aaaaaaaaaaaa"),
    ("its own base64's beginning", "aHVudGVyaHVudGVy"),
    ("escapes by name", "\\n\\t\\u00e9%41&#65;"),
    ("several lines", "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0B\nAQEFAASCBKcwggSjAgEAAo\n-----END KEY-----"),
    ("a control character", "bell\u{7}and\u{1}more"),
];

#[test]
fn no_carrier_gets_a_secret_through_wherever_it_is_cut() {
    let (mut cases, mut cuts) = (0, 0);
    for (kind, secret) in SECRETS {
        let redactions = looking_for(USER, secret);
        for carrier in CARRIERS {
            let form = (carrier.make)(USER, secret);
            cases += 1;
            for cut in 0..=form.len() {
                let out = through(&redactions, &[&form[..cut], &form[cut..]]);
                let (form, out) = (form.escape_ascii().to_string(), out.escape_ascii().to_string());
                let is_hidden = is_hidden(form.as_bytes(), out.as_bytes(), carrier.ends);
                assert!(is_hidden, "{kind}, {}, cut at {cut}\n{form}\n{out}", carrier.name);
                cuts += 1;
            }
        }
    }
    assert!(cases >= 400 && cuts > 10 * cases, "{cases} cases, {cuts} cuts");
}

#[test]
fn a_short_form_is_found_in_any_three_pieces_and_byte_by_byte() {
    for secret in ["hunter", "aaaaaaaa", "a\nb c\"d"] {
        let redactions = looking_for("u", secret);
        for carrier in CARRIERS {
            let form = (carrier.make)("u", secret);
            let form = &form[..form.len().min(40)];
            let wanted = through(&redactions, &[form]);
            for first in 0..=form.len() {
                for second in first..=form.len() {
                    let pieces = [&form[..first], &form[first..second], &form[second..]];
                    assert_eq!(through(&redactions, &pieces), wanted, "{secret:?}, {}", carrier.name);
                }
            }
            let bytes: Vec<&[u8]> = form.chunks(1).collect();
            assert_eq!(through(&redactions, &bytes), wanted, "{secret:?}, {}", carrier.name);
        }
    }
}

#[test]
fn what_stands_around_a_secret_stays() {
    let redactions = looking_for(USER, "hunter22");
    for (text, wanted) in [
        ("pull https://robot:hunter22@ghcr.io/v2/ failed", "pull https://robot:(redacted)@ghcr.io/v2/ failed"),
        ("Authorization: Basic aHVudGVyMjI=\r\n", "Authorization: Basic (redacted)\r\n"),
        ("Authorization: Bearer hunter22\r\n", "Authorization: Bearer (redacted)\r\n"),
        ("hunter22hunter22", "(redacted)(redacted)"),
        ("{\"password\":\"hunter22\"}", "{\"password\":\"(redacted)\"}"),
    ] {
        assert_eq!(redactions.text(text), wanted);
    }
}

#[test]
fn each_line_of_a_secret_is_one_behind_other_peoples_words() {
    let secret = "first line of it\nsecond \"line\" of it\nab";
    let redactions = looking_for(USER, secret);
    let words = "terraform_data.a (local-exec): ";
    let printed: Vec<String> = secret.lines().map(|line| [words, line, "\n"].concat()).collect();
    assert_eq!(redactions.text(&printed.concat()), format!("{words}(redacted)\n{words}(redacted)\n{words}ab\n"));
    let long = "0123456789".repeat(20);
    let encoded = (CARRIERS[1].make)(USER, &long);
    let redactions = looking_for(USER, &long);
    for width in [64, 76] {
        let lines = encoded.chunks(width).map(|line| format!("{words}{}\n", str::from_utf8(line).unwrap()));
        let out = redactions.text(&lines.collect::<String>());
        assert!(out.lines().all(|line| line.len() < words.len() + 11), "{out}");
    }
}

#[test]
fn secrets_of_any_length_are_found_and_too_short_ones_are_let_through() {
    for length in (1..70).chain([4096, 16 * 1024, 16 * 1024 + 1, 100_000]) {
        let secret: String =
            (0..length).map(|at| char::from(b'!' + u8::try_from(at % 997 * (at % 991) % 90).unwrap())).collect();
        let redactions = looking_for(USER, &secret);
        let hidden = redactions.text(&format!("<{secret}>"));
        assert_eq!(hidden == "<(redacted)>", length >= 6, "{length}");
        if length >= 6 {
            let encoded = String::from_utf8((CARRIERS[1].make)(USER, &secret)).unwrap();
            assert_eq!(redactions.text(&format!("<{encoded}>")), "<(redacted)>", "{length}");
        }
    }
}

#[test]
fn clean_text_passes_byte_for_byte() {
    let redactions = looking_for(USER, "hunter22");
    let mut text: Vec<u8> = (0..=255).cycle().take(4096).collect();
    text.extend("\u{1b}[1m│ Error: \u{1b}[0mhunter 22, HUNTER22, hunter2\n\r\n3, hunte\u{1b}[\n".repeat(50).bytes());
    let mut at = 1_u64;
    // 16 MiB by default.
    for _ in 0..support::loops::times(256) {
        at = at.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let turn = usize::try_from(at >> 40).unwrap() % text.len();
        text.rotate_left(turn);
        let repeated = text.repeat(9);
        let pieces: Vec<&[u8]> = repeated.chunks(1 + usize::try_from(at >> 50).unwrap()).collect();
        assert!(through(&redactions, &pieces) == repeated, "changed");
    }
}
