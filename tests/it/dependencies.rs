//! Holds the dependencies: what must not be linked, what must be there once, under which licences.
//!
//! Rule: it asks cargo for the graph that is really built, so that an optional dependency that nobody switched on is
//! no finding, and works without `cargo deny`. That one, where it is installed, checks sources and advisories besides.

use std::collections::{BTreeMap, BTreeSet};

/// Never in the graph: other TLS stacks and cryptography, superseded crates, weights.
const BANNED: [&str; 7] = ["openssl", "openssl-sys", "native-tls", "ring", "rsa", "chrono", "serde_yaml"];
/// Nor anything that begins so.
const BANNED_FAMILY: &str = "aws-sdk-";
/// At most one version of each: two of these double the binary, or do not link.
const ONCE: [&str; 8] =
    ["rustls", "aws-lc-sys", "aws-lc-rs", "reqwest", "hyper", "libsqlite3-sys", "tokio", "rustls-webpki"];
/// The kinds of edges that lead to what is built for nigari and its tests.
const EVERYTHING: &str = "normal,build,dev";
/// Licences that ask for no more than a notice, or leave other files alone (MPL-2.0).
const LICENCES: [&str; 13] = [
    "MIT",
    "MIT-0",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "0BSD",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "CDLA-Permissive-2.0",
    "MPL-2.0",
];

/// A package of the graph.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
}

/// Everything that is reached from this package by these kinds of edges. `cargo metadata` would not do: it lists
/// optional dependencies that nobody switched on.
fn graph(package: &str, edges: &str) -> BTreeSet<Package> {
    let cargo = support::child::variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let mut tree = support::child::command(cargo);
    tree.args(["tree", "--locked", "--prefix", "none", "--format", "{p}|{l}", "--edges", edges, "--package", package]);
    tree.current_dir(support::tools::repository());
    let said = support::child::run(tree).unwrap().succeeded().unwrap().out;
    let read = |line: &str| {
        let (package, licence) = line.split_once('|')?;
        let (name, rest) = package.split_once(" v")?;
        let version = rest.split(' ').next()?;
        let licence = licence.trim_end_matches(" (*)");
        Some(Package { name: name.to_owned(), version: version.to_owned(), licence: licence.to_owned() })
    };
    said.lines().filter(|line| !line.trim().is_empty()).map(|line| read(line).unwrap()).collect()
}

#[test]
fn nothing_banned_is_linked_and_nothing_heavy_is_there_twice() {
    let graph = graph("nigari", EVERYTHING);
    let mut versions: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for package in &graph {
        versions.entry(&package.name).or_default().insert(&package.version);
    }
    let banned: Vec<_> =
        versions.keys().filter(|name| BANNED.contains(name) || name.starts_with(BANNED_FAMILY)).collect();
    assert!(banned.is_empty(), "banned: {banned:?}; `cargo tree -i NAME -e normal,build,dev` says who wants it");
    let twice: Vec<_> = versions.iter().filter(|(name, all)| ONCE.contains(name) && all.len() > 1).collect();
    assert!(twice.is_empty(), "more than one version: {twice:?}");
    assert!(versions.contains_key("rustls") && versions.contains_key("support"), "the graph is not read: {versions:?}");
}

#[test]
fn licences_are_of_the_list() {
    let refused: Vec<_> =
        graph("nigari", EVERYTHING).into_iter().filter(|package| !is_allowed(&package.licence)).collect();
    assert!(refused.is_empty(), "not on the list: {refused:?}");
}

#[test]
fn the_quickstart_needs_no_compiler_for_c_and_not_nigari() {
    let graph = graph("support", "normal,build");
    let heavy: Vec<_> = graph
        .iter()
        .filter(|package| ["nigari", "cc", "cmake", "bindgen", "tokio", "reqwest"].contains(&package.name.as_str()))
        .collect();
    assert!(heavy.is_empty(), "it would not speak within seconds: {heavy:?}");
    assert!(graph.len() < 90, "{} packages are too many to speak within seconds", graph.len());
}

#[test]
fn a_licence_is_allowed_when_one_choice_is() {
    for (expression, allowed) in [
        ("MIT OR Apache-2.0", true),
        ("MIT/Apache-2.0", true),
        ("GPL-3.0-only OR MIT", true),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
        ("Apache-2.0 WITH LLVM-exception", true),
        ("MIT AND GPL-3.0-only", false),
        ("(GPL-2.0-only OR AGPL-3.0-only) AND MIT", false),
        ("", false),
    ] {
        assert_eq!(is_allowed(expression), allowed, "{expression:?}");
    }
}

/// Whether an SPDX expression lets us choose licences of the list; the old `/` is a choice too.
fn is_allowed(expression: &str) -> bool {
    let text = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut at = 0;
    let allowed = choice(&words, &mut at);
    allowed && at == words.len()
}

fn choice(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = all_of(words, at);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        allowed |= all_of(words, at);
    }
    allowed
}

fn all_of(words: &[&str], at: &mut usize) -> bool {
    let mut allowed = one(words, at);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        allowed &= one(words, at);
    }
    allowed
}

fn one(words: &[&str], at: &mut usize) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let allowed = choice(words, at);
        *at += 1;
        return allowed;
    }
    let mut name = (*word).to_owned();
    if words.get(*at) == Some(&"WITH") {
        name = format!("{name} WITH {}", words.get(*at + 1).unwrap_or(&""));
        *at += 2;
    }
    LICENCES.contains(&name.as_str())
}
