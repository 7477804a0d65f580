//! Commands that messages and documents tell people to type.
//!
//! Rule: clap knows every word of them; what is left to the reader (names, ids) may be missing.

use std::path::Path;

use clap::error::ErrorKind;
use nigari::cli::check_words;

const RUN: &str = "run-01a1fd86582072059141fd60117b5c25";

/// Every `nigari …` between backticks below `path`, with the file that it is in.
fn commands(path: &Path, found: &mut Vec<(String, String)>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            commands(&entry.unwrap().path(), found);
        }
        return;
    }
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let pieces: Vec<&str> = text.split("`nigari ").skip(1).collect();
    for piece in pieces {
        let Some((command, _)) = piece.split_once('`') else { continue };
        // A string that goes on in the next line, or a comment that does.
        let lines: Vec<&str> = command.lines().map(|line| line.trim_start_matches([' ', '/', '!'])).collect();
        let command = lines.join(" ").replace(['\\', '"'], " ");
        found.push((path.display().to_string(), command));
    }
}

/// The command with `word` for everything in braces.
fn filled(command: &str, word: &str) -> Vec<String> {
    let mut text = String::new();
    let mut depth = 0;
    for c in command.chars() {
        match c {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                text.push_str(word);
            }
            c if depth == 0 => text.push(c),
            _ => {}
        }
    }
    let words = text.split_whitespace().map(|typed| if ["RUN", "ID"].contains(&typed) { word } else { typed });
    std::iter::once("nigari").chain(words).map(str::to_owned).collect()
}

fn is_known(command: &str) -> bool {
    ["x", "3", RUN].iter().any(|word| match check_words(filled(command, word)) {
        Ok(()) => true,
        Err(error) => matches!(
            error.kind(),
            ErrorKind::MissingRequiredArgument
                | ErrorKind::MissingSubcommand
                | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                | ErrorKind::DisplayHelp
        ),
    })
}

#[test]
fn nobody_is_told_to_type_what_there_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    for path in ["src", "README.md", "SECURITY.md", "systemd"] {
        commands(&root.join(path), &mut found);
    }
    assert!(found.len() > 30, "{found:?}");
    let complete = found.iter().filter(|(_, command)| !command.contains(['…', '<', '|', '\'']));
    let unknown: Vec<_> = complete.filter(|(_, command)| !is_known(command)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    assert!(!is_known("token create --join") && is_known("token create NAME --kind join"));
}
