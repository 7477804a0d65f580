//! What the redactor costs: a log of a run, with 64 secrets in all their forms, beside a plain search for them.

use std::time::Duration;

use aho_corasick::AhoCorasick;
use nigari::redact::{Needles, Redactions};
use nigari::secret::Secret;
use support::canary::Canary;

use crate::figures::{Series, print, title};

const SECRETS: usize = 64;
/// What a step's output is read by.
const PIECE: usize = 16 * 1024;

/// Measures and prints.
pub(crate) fn report() {
    let canaries: Vec<Canary> = (0..SECRETS).map(|_| Canary::new("reader")).collect();
    let (redactions, mut needles) = (Redactions::new(), Needles::new());
    for canary in &canaries {
        needles.login(&canary.user, &Secret::from(canary.password.as_str()));
    }
    redactions.add(needles);
    let forms: Vec<Vec<u8>> = canaries.iter().flat_map(Canary::needles).map(|needle| needle.bytes).collect();
    let Ok(plain) = AhoCorasick::new(&forms) else { return };
    let text = log();
    let begun = cpu_time();
    let mut stream = redactions.stream();
    let made = cpu_time().saturating_sub(begun);
    let (mut ours, mut theirs, mut ratio) = (Series::default(), Series::default(), Series::default());
    for _ in 0..support::loops::times(10) {
        let mut out = Vec::with_capacity(2 * PIECE);
        let redacted = rate(text.len(), || {
            for piece in text.chunks(PIECE) {
                out.clear();
                stream.write(piece, &mut out);
            }
        });
        let searched = rate(text.len(), || assert_eq!(plain.find_iter(&text).count(), 0));
        ours.add(redacted);
        theirs.add(searched);
        ratio.add(redacted / searched);
    }
    title(&format!("redactor: {SECRETS} secrets in all their forms, a clean log of {} MB", text.len() / 1_000_000));
    print("its automaton is made in, ms", format_args!("{:.1}", made.as_secs_f64() * 1000.0));
    print("one of four long odd passwords, ms", format_args!("{:.1}", of_long_passwords().as_secs_f64() * 1000.0));
    print("redactor, MB/s per core", format_args!("{ours}"));
    print(&format!("plain search for {} forms, MB/s per core", forms.len()), format_args!("{theirs}"));
    print("ratio", format_args!("{ratio}"));
}

/// What it takes to look for four passwords of 4096 bytes, of characters that every form writes otherwise.
fn of_long_passwords() -> Duration {
    let (redactions, mut needles) = (Redactions::new(), Needles::new());
    let begun = cpu_time();
    for number in 0..4 {
        let password: String = "a:/+~%$\"\\ü".chars().cycle().skip(number).take(4096).collect();
        needles.login("reader", &Secret::from(password.as_str()));
    }
    redactions.add(needles);
    redactions.stream();
    cpu_time().saturating_sub(begun)
}

#[expect(clippy::cast_precision_loss, reason = "some megabytes")]
fn rate(bytes: usize, work: impl FnOnce()) -> f64 {
    let begun = cpu_time();
    work();
    bytes as f64 / 1e6 / cpu_time().saturating_sub(begun).as_secs_f64()
}

/// What this thread had of a core: others want theirs too.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Like the output of a plan: colours, indents, names, ids, some base64.
fn log() -> Vec<u8> {
    let mut text = String::new();
    for number in 0_u64..200_000 {
        let id = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let line = match number % 5 {
            0 => format!("\u{1b}[0m\u{1b}[1mmodule.net.aws_subnet.private[{number}]: Creating...\u{1b}[0m\u{1b}[0m\n"),
            1 => format!("      \u{1b}[32m+\u{1b}[0m\u{1b}[0m id                  = \"subnet-{id:016x}\"\n"),
            2 => "      \u{1b}[32m+\u{1b}[0m\u{1b}[0m availability_zone   = \"eu-central-1b\" (known after apply)\n"
                .to_owned(),
            3 => format!("terraform_data.a[{number}] (local-exec): c29tZSB0ZXh0IHRoYXQgaXMgbm8gc2VjcmV0{id:x}==\n"),
            _ => "module.net.aws_subnet.private: Still creating... [10s elapsed]\n".to_owned(),
        };
        text.push_str(&line);
    }
    text.into_bytes()
}
