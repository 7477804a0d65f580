//! A user's own CLI configuration: which files it is, and what they say of a registry.
//!
//! Rule: as `cliconfig.go` has it: the file that a variable names is the only one; otherwise one of three in the home
//! directory, and all of one directory. A file that cannot be read counts for nothing, and the others count.

use std::io::ErrorKind;
use std::path::PathBuf;

use super::docker_file::specificity;
use super::{Content, Found, Origin, Place, Shape, Surroundings};
use crate::tofu::cli_configuration::{CliConfigurationError, OciCredentials, OciDefaults, OciSettings, list};

/// Which Docker-style files OpenTofu reads besides.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Search {
    /// Those that it searches for.
    Usual,
    /// These alone.
    Files(Vec<PathBuf>),
    /// None.
    Off,
}

/// Looks into all of them.
pub(super) fn look(at: &Surroundings, registry_host: &str, repository: &str) -> (Vec<Place>, Search) {
    let (mut places, mut search, mut is_set) = (Vec::new(), Search::Usual, false);
    for file in files(at) {
        let settings = match file.and_then(|file| OciSettings::read(&file).map(|settings| (file, settings))) {
            Ok(settings) => settings,
            Err(error) => {
                places.push(unread(error));
                continue;
            }
        };
        let (file, OciSettings { credentials, defaults, refused }) = settings;
        let blocks = credentials.iter().filter_map(|(label, content)| block(label, content, registry_host, repository));
        let helpers = defaults.iter().filter_map(|one| one.helper.as_ref());
        let helpers = helpers.map(|name| Found { key: name.clone(), shape: Shape::Helper, specificity: 1 });
        let mut place = place(file, Content::of(blocks.chain(helpers).collect()));
        for line in refused {
            place.notes.push(format!("line {line}: OpenTofu complains of this block and goes on without it"));
        }
        for one in defaults {
            if std::mem::replace(&mut is_set, true) {
                place.notes.push("a second `oci_default_credentials`: OpenTofu crashes".to_owned());
                place.fails = true;
            }
            search = search_of(one, &mut place.notes);
        }
        places.push(place);
    }
    (places, search)
}

fn place(file: PathBuf, content: Content) -> Place {
    Place { file, origin: Origin::CliConfiguration, content, notes: Vec::new(), fails: false }
}

fn unread(error: CliConfigurationError) -> Place {
    match error {
        CliConfigurationError::Read { path, source } if source.kind() == ErrorKind::NotFound => {
            place(path, Content::Missing)
        }
        CliConfigurationError::Read { path, source } => {
            place(path, Content::Broken(format!("it cannot be read: {source}")))
        }
        CliConfigurationError::Syntax { path, line, message } => {
            place(path, Content::Broken(format!("line {line}: {message}")))
        }
        other => place(PathBuf::new(), Content::Broken(other.to_string())),
    }
}

fn search_of(defaults: OciDefaults, notes: &mut Vec<String>) -> Search {
    let (search, note) = match (defaults.discovers, defaults.files) {
        (true, None) => return Search::Usual,
        (true, Some(files)) if !files.is_empty() => {
            (Search::Files(files), "the Docker-style files that it names alone")
        }
        (true, Some(_)) | (false, _) => (Search::Off, "no Docker-style file"),
    };
    notes.push(format!("with it OpenTofu reads {note}"));
    search
}

fn block(label: &str, content: &OciCredentials, registry_host: &str, repository: &str) -> Option<Found> {
    let specificity = specificity(label, registry_host, repository)?;
    let shape = match content {
        OciCredentials::Pair => Shape::Pair,
        OciCredentials::Token => Shape::Token,
        OciCredentials::Helper(_) => Shape::Helper,
        OciCredentials::Empty => Shape::NoPair,
    };
    Some(Found { key: format!("oci_credentials \"{label}\""), shape, specificity })
}

/// The files, in OpenTofu's order; the error is a directory that cannot be listed.
fn files(at: &Surroundings) -> Vec<Result<PathBuf, CliConfigurationError>> {
    if let Some(named) = &at.named {
        return vec![Ok(named.clone())];
    }
    let Some(home) = &at.home else { return Vec::new() };
    let (new, old) = (home.join(".tofurc"), home.join(".terraformrc"));
    let other = |below: &str| at.configuration.as_ref().map(|directory| directory.join("opentofu").join(below));
    let main = match (new.exists(), old.exists(), other("tofurc")) {
        (false, true, _) => old,
        (false, false, Some(other)) => other,
        _ => new,
    };
    let usual = home.join(".terraform.d");
    let directory = if usual.exists() { usual } else { other("").unwrap_or(usual) };
    let main = Some(main).filter(|main| main.exists()).map(Ok);
    let more = match list(&directory) {
        Ok(files) => files.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    };
    main.into_iter().chain(more).collect()
}
