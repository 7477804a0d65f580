//! The table of `docs/THREAT_MODEL.md`, and its comparison with what was seen.
//!
//! Rule: every row of the page must have been seen, and everything that was seen must have its row.

use std::collections::BTreeMap;

use super::stage::Delivery;
use super::{Observed, Outcome};

/// How the table begins.
const HEAD: &str = "| | attack | `namespace`, broker | helper | file | `process`, broker | helper | file |";

/// Row → outcomes in the order of the columns.
fn rows(page: &str) -> BTreeMap<String, Vec<Outcome>> {
    let (_, table) = page.split_once(HEAD).unwrap_or_else(|| panic!("the page has no table that begins with {HEAD}"));
    let lines = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 8, "{line}");
            (cells[0].to_owned(), cells[2..].iter().map(|cell| outcome(cell)).collect())
        })
        .collect()
}

fn outcome(cell: &str) -> Outcome {
    match cell {
        "nothing" => Outcome::Nothing,
        "refused" => Outcome::Refused,
        "kept" => Outcome::Kept,
        "**open**" => Outcome::Open,
        "–" => Outcome::Absent,
        other => panic!("the table has a word that means nothing: {other}"),
    }
}

fn page() -> String {
    std::fs::read_to_string(support::tools::repository().join("docs/THREAT_MODEL.md")).unwrap()
}

/// Fails on everything that is not as the page says.
pub(super) fn compare(sandbox: &str, user: &str, observed: &Observed) {
    let first = if sandbox == "namespace" { 0 } else { 3 };
    let mut said = BTreeMap::new();
    for (row, outcomes) in rows(&page()) {
        for (delivery, outcome) in Delivery::ALL.into_iter().zip(&outcomes[first..first + 3]) {
            said.insert((row.clone(), delivery), *outcome);
        }
    }
    assert_eq!(observed.0, said, "sandbox {sandbox}, {user}: what was seen (left) is not what the page says (right)");
}

#[test]
fn each_attack_has_a_row_of_outcomes() {
    let rows = rows(&page());
    for number in 1..=19 {
        assert!(rows.contains_key(&format!("A{number}")), "A{number}");
    }
}
