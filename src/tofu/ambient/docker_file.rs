//! Docker-style files: where OpenTofu searches for them, and what they have for a repository.
//!
//! Rule: as `ociauthconfig/docker_cli_credentials_config.go` reads them (1.12.6). Of a credential nothing is kept but what
//! shape it has.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use super::{Content, Found, Origin, Place, Shape, Surroundings};

/// The files that OpenTofu searches on Linux, in its order.
pub(super) fn searched(at: &Surroundings) -> Vec<PathBuf> {
    let below_home = |path: &str| at.home.as_ref().map(|home| home.join(path));
    let configuration = at.configuration.clone().or_else(|| below_home(".config"));
    [
        at.runtime.as_ref().map(|directory| directory.join("containers/auth.json")),
        configuration.map(|directory| directory.join("containers/auth.json")),
        below_home(".docker/config.json"),
        below_home(".dockercfg"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Looks into one.
pub(super) fn look(file: PathBuf, origin: Origin, registry_host: &str, repository: &str) -> Place {
    let content = content(&file, registry_host, repository);
    let fails = origin == Origin::Named && matches!(content, Content::Missing | Content::Broken(_));
    Place { file, origin, content, notes: Vec::new(), fails }
}

fn content(file: &Path, registry_host: &str, repository: &str) -> Content {
    // The file is full of secrets: its text is wiped.
    let text = match std::fs::read_to_string(file).map(Zeroizing::new) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Content::Missing,
        Err(error) => return Content::Broken(format!("it cannot be read: {error}")),
    };
    // An empty list would do as well for serde.
    if !text.trim_start().starts_with('{') {
        return Content::Broken("it is not an object of JSON".to_owned());
    }
    match serde_json::from_str::<File>(&text) {
        Ok(file) => Content::of(file.find(registry_host, repository)),
        // serde's own words could repeat a value.
        Err(error) => Content::Broken(format!("line {} is not what is expected there", error.line())),
    }
}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    auths: BTreeMap<String, Option<Entry>>,
    #[serde(default, rename = "credHelpers")]
    helpers: BTreeMap<String, String>,
    #[serde(default, rename = "credsStore")]
    store: String,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    auth: Option<Auth>,
}

impl File {
    fn find(&self, registry_host: &str, repository: &str) -> Vec<Found> {
        let keys = self.auths.iter().filter_map(|(key, entry)| {
            let shape = entry.as_ref()?.auth.as_ref()?.0?;
            let specificity = specificity(key, registry_host, repository)?;
            Some(Found { key: key.clone(), shape, specificity })
        });
        let helper = |name: &str, specificity| {
            (!name.is_empty()).then(|| Found { key: name.to_owned(), shape: Shape::Helper, specificity })
        };
        let of_host = self.helpers.get(registry_host).and_then(|name| helper(name, 2));
        keys.chain(of_host).chain(helper(&self.store, 1)).collect()
    }
}

/// How narrowly a key matches; nothing of a key's case, port or scheme is forgiven.
pub(super) fn specificity(key: &str, registry_host: &str, repository: &str) -> Option<usize> {
    let Some((host, path)) = key.split_once('/') else { return (key == registry_host).then_some(2) };
    let is_path = !path.is_empty() && path.bytes().all(|byte| !byte.is_ascii_uppercase() && !b":@".contains(&byte));
    let inside = repository.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    (host == registry_host && is_path && inside).then(|| 2 + path.split('/').count())
}

/// The shape of `auth`; `None` for an empty one, which is as good as none.
struct Auth(Option<Shape>);

impl<'de> Deserialize<'de> for Auth {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Reader)
    }
}

struct Reader;

impl Visitor<'_> for Reader {
    type Value = Auth;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Auth, E> {
        if text.is_empty() {
            return Ok(Auth(None));
        }
        // Go's decoder does not mind line breaks.
        let text: Zeroizing<String> = Zeroizing::new(text.chars().filter(|letter| !"\r\n".contains(*letter)).collect());
        let pair = STANDARD.decode(text.as_bytes()).map(Zeroizing::new).map_err(|_| E::custom("not base64"))?;
        let colon = pair.iter().position(|byte| *byte == b':');
        Ok(Auth(Some(match colon {
            None => Shape::NoPair,
            Some(at) if at + 1 == pair.len() => Shape::NoPassword,
            Some(_) => Shape::Pair,
        })))
    }
}
