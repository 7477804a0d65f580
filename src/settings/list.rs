//! Lists of names and of paths: an array in TOML, comma separated in a flag or a variable.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use serde::Deserialize;

/// A list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NameList(pub Vec<String>);

impl FromStr for NameList {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(entries(text).map(str::to_owned).collect()))
    }
}

/// A list of paths.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct PathList(pub Vec<PathBuf>);

impl FromStr for PathList {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(entries(text).map(PathBuf::from).collect()))
    }
}

fn entries(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|entry| !entry.is_empty())
}
