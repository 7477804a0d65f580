//! Lists of names: an array in TOML, comma separated in a flag or a variable.

use std::convert::Infallible;
use std::str::FromStr;

use serde::Deserialize;

/// A list of names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct NameList(pub Vec<String>);

impl FromStr for NameList {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()))
    }
}
