//! `docs/TESTED.md`: each promise with the tests that hold it, and that those tests exist.
//!
//! Rule: a name is `module::path::test_name` without the module `tests`, of the crate or of this target. The suites
//! that run on both databases name their functions; every other name must be a test.

use std::collections::BTreeSet;

use crate::source::{Kind, Source, Token};

/// Every test that there is, as the page writes it.
fn tests() -> BTreeSet<String> {
    let sources = Source::all(&["src", "tests/it"]);
    sources.iter().flat_map(|source| names(source).into_iter().map(|name| full(source, &name))).collect()
}

fn full(source: &Source, name: &str) -> String {
    let below = source.path.strip_prefix("src").or_else(|_| source.path.strip_prefix("tests/it"));
    let path = below.unwrap_or(&source.path).with_extension("");
    let parts = path.iter().map(|part| part.to_string_lossy().into_owned());
    let modules = parts.filter(|part| !["mod", "lib", "main", "tests"].contains(&part.as_str()));
    modules.chain([name.to_owned()]).collect::<Vec<_>>().join("::")
}

/// Tests of a file; of a suite for both databases, its functions.
fn names(source: &Source) -> Vec<String> {
    if source.path.starts_with("tests/it/server/store_contract") {
        return source.functions().into_iter().map(|function| function.name).collect();
    }
    tests_in(&source.tokens)
}

fn tests_in(tokens: &[Token]) -> Vec<String> {
    let (mut found, mut is_test) = (Vec::new(), false);
    for (at, token) in tokens.iter().enumerate() {
        let word = |ahead: usize| tokens.get(at + ahead).and_then(Token::word);
        let is = |ahead: usize, mark| tokens.get(at + ahead).is_some_and(|token: &Token| token.is(mark));
        let is_path = tokens.get(at + 3).is_some_and(|token| token.kind == Kind::Path);
        if token.is('#') && is(1, '[') {
            // `#[test]`, `#[tokio::test]`, `#[tokio::test(…)]`
            is_test |= word(2) == Some("test") || word(2) == Some("tokio") && is_path && word(4) == Some("test");
        } else if token.word() == Some("fn") {
            found.extend(word(1).filter(|_| is_test).map(str::to_owned));
            is_test = false;
        }
    }
    found
}

/// What the page has in code marks and looks like a test's name.
fn named(page: &str) -> BTreeSet<String> {
    let is_name = |text: &str| {
        text.contains("::") && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_:".contains(c))
    };
    page.split('`').skip(1).step_by(2).filter(|text| is_name(text)).map(str::to_owned).collect()
}

fn page() -> String {
    std::fs::read_to_string(support::tools::repository().join("docs/TESTED.md")).unwrap()
}

#[test]
fn every_test_that_the_page_names_exists() {
    let (tests, named) = (tests(), named(&page()));
    let missing: Vec<&String> = named.difference(&tests).collect();
    assert!(named.len() > 100, "only {} tests are named", named.len());
    assert!(missing.is_empty(), "docs/TESTED.md names tests that do not exist:\n{missing:#?}");
}

#[test]
fn every_promise_threat_and_attack_has_its_row() {
    let page = page();
    let rows = (1..=5).map(|n| format!("P{n}"));
    let rows = rows.chain((1..=37).map(|n| format!("T{n}"))).chain((1..=19).map(|n| format!("A{n}")));
    for row in rows {
        let lines: Vec<&str> = page.lines().filter(|line| line.starts_with(&format!("| {row} |"))).collect();
        assert_eq!(lines.len(), 1, "{row}");
        let last = lines[0].trim_end_matches('|').rsplit('|').next().unwrap_or_default();
        assert!(last.trim().len() > 2, "{row} says nothing");
    }
}

mod tests_of_the_reader {
    use super::{named, tests_in};
    use crate::source::tokens;

    #[test]
    fn tests_are_told_from_other_functions() {
        let text = "#[cfg(test)] mod t { fn no() {} #[test] fn a() {} #[tokio::test(flavor = \"x\")] async fn b() {} \
                    fn neither() {} #[test]\n#[should_panic] fn c() {} }";
        assert_eq!(tests_in(&tokens(text)), ["a", "b", "c"]);
    }

    #[test]
    fn names_are_read_from_code_marks_alone() {
        let page = "| P1 | `a::b_c`, `Not::this` and a::d | `e::f::g`, `plain` |";
        assert_eq!(named(page).into_iter().collect::<Vec<_>>(), ["a::b_c", "e::f::g"]);
    }
}
