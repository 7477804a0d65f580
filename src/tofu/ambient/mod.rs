//! What OpenTofu would find for a registry by itself: in a user's own CLI configuration, and among their logins.
//!
//! Rule: as OpenTofu looks (`cliconfig/oci_credentials.go` and `ociauthconfig`, 1.12.6): in runs all of it is switched off,
//! so this is for explaining alone. Of a credential nothing is kept but what shape it has.

mod cli;
mod docker_file;

use std::path::PathBuf;

use self::cli::Search;

/// Of the environment, what leads OpenTofu to a user's own files.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// `TF_CLI_CONFIG_FILE`, or the old name for it.
    pub named: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime: Option<PathBuf>,
    /// `XDG_CONFIG_HOME`.
    pub configuration: Option<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
}

/// One file and what it has for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// How OpenTofu comes to it.
    pub origin: Origin,
    /// What is in it for the repository.
    pub content: Content,
    /// What else it means for OpenTofu.
    pub notes: Vec<String>,
    /// Whether OpenTofu can ask no OCI registry at all with it.
    pub fails: bool,
}

/// How OpenTofu comes to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// It is a CLI configuration. One that cannot be read is left out.
    CliConfiguration,
    /// A CLI configuration names it. It has to be there and in order.
    Named,
    /// OpenTofu searches for it. If one of these is broken, none is used.
    Searched,
}

/// What a file has for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// There is no such file.
    Missing,
    /// It cannot be used.
    Broken(String),
    /// Nothing for it.
    Nothing,
    /// Keys for it, in OpenTofu's order.
    Keys(Vec<Found>),
}

/// A key that matches a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// The key as written, or the credential helper's name.
    pub key: String,
    /// What is behind it.
    pub shape: Shape,
    /// 1 for a helper for everything, 2 for a host, one more for each part of a path: the highest wins.
    specificity: usize,
}

/// What is behind a key, as far as OpenTofu can use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// User and password.
    Pair,
    /// A user and no password, as `az acr login` and other token logins leave it: not enough.
    NoPassword,
    /// No colon in it, or an empty user: alone it counts for nothing, beside another it makes OpenTofu fail.
    NoPair,
    /// An access token.
    Token,
    /// A credential helper.
    Helper,
}

/// What OpenTofu does with all that it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It goes on without a credential.
    Without,
    /// It takes this key of this place, both by their numbers.
    Takes(usize, usize),
    /// It fails, because one key is none and another would do.
    Quarrels,
    /// It fails, whatever the registry is.
    Fails,
}

/// The registry host whose credentials OpenTofu finds and never sends: it asks another one instead.
const NEVER_SENT: &str = "docker.io";

impl Content {
    fn of(keys: Vec<Found>) -> Self {
        if keys.is_empty() { Self::Nothing } else { Self::Keys(keys) }
    }
}

impl Place {
    fn keys(&self) -> &[Found] {
        match &self.content {
            Content::Keys(keys) => keys,
            Content::Missing | Content::Broken(_) | Content::Nothing => &[],
        }
    }
}

/// Looks for a repository wherever OpenTofu would look.
pub fn look(at: &Surroundings, registry_host: &str, repository: &str) -> Vec<Place> {
    let (mut places, search) = cli::look(at, registry_host, repository);
    let (files, origin) = match search {
        Search::Usual => (docker_file::searched(at), Origin::Searched),
        Search::Files(files) => (files, Origin::Named),
        Search::Off => (Vec::new(), Origin::Searched),
    };
    places.extend(files.into_iter().map(|file| docker_file::look(file, origin, registry_host, repository)));
    places
}

/// What OpenTofu does with it.
pub fn outcome(places: &[Place], registry_host: &str) -> Outcome {
    if places.iter().any(|place| place.fails) {
        return Outcome::Fails;
    }
    let is_broken = |place: &Place| place.origin == Origin::Searched && matches!(place.content, Content::Broken(_));
    let is_off = places.iter().any(is_broken);
    let counted = places.iter().enumerate().filter(|(_, place)| !is_off || place.origin != Origin::Searched);
    let keys =
        counted.flat_map(|(at, place)| place.keys().iter().enumerate().map(move |(key, found)| (at, key, found)));
    let (unusable, usable): (Vec<_>, Vec<_>) = keys.partition(|(_, _, found)| found.shape == Shape::NoPair);
    // The first of equals wins.
    let Some((place, key, _)) = usable.iter().rev().max_by_key(|(_, _, found)| found.specificity) else {
        return Outcome::Without;
    };
    if !unusable.is_empty() {
        return Outcome::Quarrels;
    }
    if registry_host == NEVER_SENT { Outcome::Without } else { Outcome::Takes(*place, *key) }
}

#[cfg(test)]
mod tests;
