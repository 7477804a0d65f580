//! What fuzzers feed with whatever they like: the readers of hostile input, each with what must hold whatever comes.
//!
//! Rule: a target panics where that does not hold, changes nothing outside of itself, and goes the same way twice for the
//! same bytes. The package in `fuzz/` gives these functions to libFuzzer; the test here gives them the corpora in
//! `fuzz/corpus`, and what comes of those by random changes.

use crate::{configuration, gateway, redact, tofu};

/// Name, which is that of the corpus too, and function.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 4] = [
    ("redactor", redact::fuzz::redactor),
    ("cli_configuration", tofu::cli_configuration::fuzz::scanner),
    ("archive", configuration::fuzz::archive),
    ("proxy_request", gateway::broker::fuzz::request),
];

/// Feeds the target of that name.
///
/// # Panics
/// Where something does not hold, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let target = TARGETS.iter().find(|(known, _)| *known == name);
    let Some((_, target)) = target else { unreachable!("there is no target `{name}`") };
    target(data);
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use support::dice::Dice;

    use super::{TARGETS, run};

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
        let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        assert!(paths.len() >= 5, "{target} has too small a corpus");
        paths.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    /// One to four changes: bytes, pieces of another input, cuts, repeats.
    fn changed(dice: &mut Dice, corpus: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            let other = &corpus[dice.below(corpus.len())];
            let from = dice.below(other.len() + 1);
            let piece = &other[from..from + dice.below(other.len() - from + 1).min(64)];
            match dice.below(7) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(dice.below(256)).unwrap(),
                1 if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
                2 => bytes.truncate(at),
                3 => drop(bytes.splice(at..at, piece.iter().copied())),
                4 => {
                    let end = (at + piece.len()).min(bytes.len());
                    bytes.splice(at..end, piece.iter().copied());
                }
                5 => drop(bytes.drain(at..(at + dice.below(16)).min(bytes.len()))),
                _ => {
                    let end = (at + dice.below(32)).min(bytes.len());
                    let again = bytes[at..end].to_vec();
                    bytes.splice(at..at, again);
                }
            }
        }
        bytes
    }

    /// Runs a target over its corpus and over what comes of it.
    fn feed(name: &str, usual: u32) {
        let corpus = corpus(name);
        let mut dice = Dice::new(0x5DEE_CE66_D1CE_4E5B);
        let changes = (0..support::loops::times(usual)).map(|_| changed(&mut dice, &corpus)).collect::<Vec<_>>();
        for input in corpus.iter().chain(&changes) {
            let fed = std::panic::catch_unwind(|| run(name, input));
            assert!(fed.is_ok(), "{name} fails with {}", input.escape_ascii());
        }
    }

    #[test]
    fn the_redactor_holds_what_it_must_whatever_comes() {
        feed("redactor", 500);
    }

    #[test]
    fn the_scanner_holds_what_it_must_whatever_comes() {
        feed("cli_configuration", 10_000);
    }

    #[test]
    fn the_archive_check_holds_what_it_must_whatever_comes() {
        feed("archive", 2000);
    }

    #[test]
    fn the_proxys_reader_holds_what_it_must_whatever_comes() {
        feed("proxy_request", 3000);
    }

    #[test]
    fn each_target_has_its_program_in_the_package_for_libfuzzer() {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/Cargo.toml");
        let manifest = fs::read_to_string(manifest).unwrap();
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("name = \"{name}\"")), "{name}");
        }
    }
}
