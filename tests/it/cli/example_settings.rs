//! The example files: complete, and taken by the program.

use std::collections::BTreeSet;
use std::path::Path;

use nigari::settings::agent_layer::AgentLayer;
use nigari::settings::server_layer::ServerLayer;
use nigari::settings::{AgentSettings, ServerSettings, SettingsError};

use super::file;

type Load = fn(&Path) -> Result<(), SettingsError>;

fn agent(path: &Path) -> Result<(), SettingsError> {
    AgentSettings::load(Some(path), AgentLayer::default()).map(drop)
}

fn server(path: &Path) -> Result<(), SettingsError> {
    ServerSettings::load(Some(path), ServerLayer::default()).map(drop)
}

/// The keys that the loader itself names when it meets an unknown one.
fn known_keys(load: Load) -> BTreeSet<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("x.toml");
    file(&path, "no_such_key_at_all = 1\n", 0o600);
    let message = load(&path).unwrap_err().to_string();
    let (_, keys) = message.split_once("the keys are: ").unwrap_or_else(|| panic!("{message}"));
    keys.lines().next().unwrap_or_default().split(", ").map(str::to_owned).collect()
}

/// Every `key = value` of an example, commented out or not.
fn lines_with_keys(example: &str) -> Vec<String> {
    let assignment = |line: &str| {
        let key = line.split(" = ").next().filter(|_| line.contains(" = "))?;
        key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_').then(|| line.to_owned())
    };
    example.lines().filter_map(|line| assignment(line.strip_prefix('#').unwrap_or(line))).collect()
}

fn example(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)).unwrap()
}

#[test]
fn the_examples_are_taken_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    for (name, load) in [("agent.toml", agent as Load), ("server.toml", server)] {
        let path = directory.path().join(name);
        file(&path, &example(name), 0o600);
        load(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

#[test]
fn the_examples_show_every_key_and_no_other() {
    for (name, load) in [("agent.toml", agent as Load), ("server.toml", server)] {
        let shown: BTreeSet<String> = lines_with_keys(&example(name))
            .iter()
            .map(|line| line.split(" = ").next().unwrap_or_default().to_owned())
            .collect();
        assert_eq!(shown, known_keys(load), "{name}");
    }
}

#[test]
fn every_value_of_the_examples_has_the_right_form() {
    let directory = tempfile::tempdir().unwrap();
    for (name, load) in [("agent.toml", agent as Load), ("server.toml", server)] {
        let path = directory.path().join(name);
        file(&path, &lines_with_keys(&example(name)).join("\n"), 0o600);
        // Files that the examples name are not there; anything else that is said would be a fault of the example.
        let problems = load(&path).err().map(|error| error.problems).unwrap_or_default();
        for problem in problems {
            let about_a_file = ["is not a file", "cannot read", "is set together with"];
            assert!(about_a_file.iter().any(|words| problem.message.contains(words)), "{name}: {problem}");
        }
    }
}
