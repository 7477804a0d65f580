//! What OpenTofu would find on this host by itself, for people.
//!
//! Rule: of a credential only its shape is told; of all that is found, what OpenTofu would do with it.

use std::path::PathBuf;

use serde::Serialize;

use crate::tofu::ambient::{self, Content, Found, Origin, Outcome, Place, Shape};

/// One finding of this host.
#[derive(Debug, Serialize)]
pub(super) struct Login {
    file: PathBuf,
    /// What is there for the source, in words.
    finding: String,
    /// Whether OpenTofu would take this one, outside of a run.
    taken: bool,
}

impl Login {
    /// For people.
    pub(super) fn told(&self) -> String {
        let taken = if self.taken { "; outside of a run, OpenTofu would take this" } else { "" };
        format!("{}: {}{taken}", self.file.display(), self.finding)
    }
}

/// All findings for a source on that host.
pub(super) fn logins(places: &[Place], registry_host: &str) -> Vec<Login> {
    let outcome = ambient::outcome(places, registry_host);
    places.iter().enumerate().flat_map(|(at, place)| of_place(at, place, outcome)).collect()
}

fn of_place(at: usize, place: &Place, outcome: Outcome) -> Vec<Login> {
    let told = |finding: String| Login { file: place.file.clone(), finding, taken: false };
    let notes = place.notes.iter().cloned().map(told);
    let mut logins = match (&place.content, place.origin) {
        (Content::Missing, Origin::Named) => {
            vec![told("not there, though the CLI configuration names it, so OpenTofu fails".to_owned())]
        }
        (Content::Missing, Origin::CliConfiguration) => {
            vec![told("not there, so OpenTofu goes on without it".to_owned())]
        }
        (Content::Broken(why), origin) => vec![told(format!("broken ({why}), so {}", after_broken(origin)))],
        (Content::Nothing, _) if place.notes.is_empty() => vec![told("nothing for it".to_owned())],
        (Content::Missing, Origin::Searched) | (Content::Nothing, _) => Vec::new(),
        (Content::Keys(keys), _) => {
            let keys = keys.iter().enumerate();
            let login = |(key, found)| Login {
                taken: outcome == Outcome::Takes(at, key),
                ..told(finding(found, outcome == Outcome::Quarrels))
            };
            keys.map(login).collect()
        }
    };
    logins.extend(notes);
    logins
}

const fn after_broken(origin: Origin) -> &'static str {
    match origin {
        Origin::CliConfiguration => "OpenTofu complains and goes on without it",
        Origin::Named => "OpenTofu fails: the CLI configuration names it",
        Origin::Searched => "OpenTofu uses none of the files that it searches for logins",
    }
}

fn finding(found: &Found, quarrels: bool) -> String {
    let shape = match found.shape {
        Shape::Pair => "user and password",
        Shape::NoPassword => "a user without a password; its token is in a member that OpenTofu does not read",
        Shape::NoPair if quarrels => "not user and password: beside another login OpenTofu fails with it",
        Shape::NoPair => "not user and password, so it counts for nothing",
        Shape::Token => "an access token",
        Shape::Helper => "a credential helper",
    };
    format!("`{}`: {shape}", found.key)
}
