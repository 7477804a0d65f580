//! What OpenTofu would find for a registry by itself, in the places of a user's own logins.
//!
//! Rule: as OpenTofu searches (`ociauthconfig/docker_cli_credentials_config.go`, 1.12.6): in runs these places are
//! switched off, so this is for explaining alone. Of a credential nothing is kept but what shape it has.

use std::collections::BTreeMap;
use std::fmt;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use zeroize::Zeroizing;

/// One place and what it has for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: PathBuf,
    /// What is in it for the repository.
    pub content: Content,
}

/// What a file has for a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// There is no such file.
    Missing,
    /// It cannot be used, and then OpenTofu uses none of the places.
    Broken(String),
    /// Nothing for it.
    Nothing,
    /// A key for it.
    Key(Found),
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
    /// No colon in it: OpenTofu goes on without a login.
    NoPair,
    /// A credential helper.
    Helper,
}

/// The files that OpenTofu searches on Linux, in its order.
pub fn places(runtime: Option<&Path>, configuration: Option<&Path>, home: Option<&Path>) -> Vec<PathBuf> {
    let below_home = |path: &str| home.map(|home| home.join(path));
    let configuration = configuration.map(Path::to_owned).or_else(|| below_home(".config"));
    [
        runtime.map(|directory| directory.join("containers/auth.json")),
        configuration.map(|directory| directory.join("containers/auth.json")),
        below_home(".docker/config.json"),
        below_home(".dockercfg"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Looks for a repository in each place.
pub fn look(places: Vec<PathBuf>, registry_host: &str, repository: &str) -> Vec<Place> {
    places
        .into_iter()
        .map(|file| {
            let content = content(&file, registry_host, repository);
            Place { file, content }
        })
        .collect()
}

/// The place whose key OpenTofu would take: none when one of them is broken.
pub fn chosen(places: &[Place]) -> Option<&Place> {
    if places.iter().any(|place| matches!(place.content, Content::Broken(_))) {
        return None;
    }
    let rank = |place: &&Place| match &place.content {
        Content::Key(found) => found.specificity,
        Content::Missing | Content::Broken(_) | Content::Nothing => 0,
    };
    // The first of equals wins.
    places.iter().filter(|place| rank(place) > 0).rev().max_by_key(rank)
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
        Ok(file) => file.find(registry_host, repository).map_or(Content::Nothing, Content::Key),
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
    fn find(&self, registry_host: &str, repository: &str) -> Option<Found> {
        let keys = self.auths.iter().filter_map(|(key, entry)| {
            let shape = entry.as_ref()?.auth.as_ref()?.0?;
            let specificity = specificity(key, registry_host, repository)?;
            Some(Found { key: key.clone(), shape, specificity })
        });
        let helper = |name: &str, specificity| {
            (!name.is_empty()).then(|| Found { key: name.to_owned(), shape: Shape::Helper, specificity })
        };
        let of_host = self.helpers.get(registry_host).and_then(|name| helper(name, 2));
        let all = keys.chain(of_host).chain(helper(&self.store, 1)).collect::<Vec<_>>();
        all.into_iter().rev().max_by_key(|found| found.specificity)
    }
}

/// How narrowly a key matches; nothing of a key's case, port or scheme is forgiven.
fn specificity(key: &str, registry_host: &str, repository: &str) -> Option<usize> {
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::{Content, Shape, chosen, look, places};

    fn found(text: &str, host: &str, repository: &str) -> Content {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config.json");
        std::fs::write(&file, text).unwrap();
        look(vec![file], host, repository).remove(0).content
    }

    fn key(text: &str, host: &str, repository: &str) -> Option<(String, Shape)> {
        match found(text, host, repository) {
            Content::Key(found) => Some((found.key, found.shape)),
            _ => None,
        }
    }

    #[test]
    fn the_places_and_their_order_are_tofus() {
        let names = |runtime, configuration, home: &str| -> Vec<String> {
            let all = places(runtime, configuration, Some(Path::new(home)));
            all.iter().map(|path| path.display().to_string()).collect()
        };
        let home = ["/h/.config/containers/auth.json", "/h/.docker/config.json", "/h/.dockercfg"];
        assert_eq!(names(None, None, "/h"), home);
        assert_eq!(
            names(Some(Path::new("/r")), Some(Path::new("/c")), "/h")[..2],
            ["/r/containers/auth.json".to_owned(), "/c/containers/auth.json".to_owned()]
        );
        assert!(places(None, None, None).is_empty());
    }

    #[test]
    fn keys_match_letter_by_letter_and_by_whole_segments() {
        // `u:p`, `u:` and `up`.
        let text = r#"{"auths":{"h":{"auth":"dTpw"},"h/team":{"auth":"dTpw"},"h/te":{"auth":"dTpw"},"n":{"auth":"dTo="},
            "x":{"auth":"dXA="},"empty":{},"nothing":null,"blank":{"auth":""},"https://s/v1/":{"auth":"dTpw"},
            "t":{"identitytoken":"x"}}}"#;
        let pair = |key: &str| Some((key.to_owned(), Shape::Pair));
        assert_eq!(key(text, "h", "team/net"), pair("h/team"));
        assert_eq!(key(text, "h", "teams/net"), pair("h"));
        assert_eq!(key(text, "H", "team/net"), None);
        assert_eq!(key(text, "h:443", "team/net"), None);
        assert_eq!(key(text, "n", "a"), Some(("n".into(), Shape::NoPassword)));
        assert_eq!(key(text, "x", "a"), Some(("x".into(), Shape::NoPair)));
        for host in ["empty", "nothing", "blank", "s", "t", "index.docker.io"] {
            assert_eq!(key(text, host, "a"), None, "{host}");
        }
    }

    #[test]
    fn helpers_come_after_keys_of_the_same_reach() {
        let text = r#"{"auths":{"h":{"auth":"dTpw"}},"credHelpers":{"h":"x","g":"y"},"credsStore":"all"}"#;
        assert_eq!(key(text, "h", "a"), Some(("h".into(), Shape::Pair)));
        assert_eq!(key(text, "g", "a"), Some(("y".into(), Shape::Helper)));
        assert_eq!(key(text, "other", "a"), Some(("all".into(), Shape::Helper)));
    }

    #[test]
    fn a_broken_file_is_told_without_what_is_in_it_and_switches_all_of_them_off() {
        let secret = "geheim-4711";
        for text in ["", "{", "[]", r#"{"auths":[]}"#, r#"{"auths":{"h":{"auth":"geheim-4711"}}}"#] {
            let Content::Broken(why) = found(text, "h", "a") else { panic!("{text}") };
            assert!(!why.contains(secret), "{why}");
        }
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        std::fs::write(path("a"), r#"{"auths":{"h":{"auth":"dTpw"}}}"#).unwrap();
        std::fs::write(path("b"), r#"{"auths":{"h/x":{"auth":"dTpw"}}}"#).unwrap();
        std::fs::write(path("broken"), "{").unwrap();
        let chosen_of = |names: &[&str], repository: &str| {
            let all = look(names.iter().map(|name| path(name)).collect(), "h", repository);
            chosen(&all).map(|place| place.file.clone())
        };
        assert_eq!(chosen_of(&["a", "b"], "x"), Some(path("b")));
        assert_eq!(chosen_of(&["a", "b"], "y"), Some(path("a")));
        assert_eq!(chosen_of(&["none", "a"], "y"), Some(path("a")));
        assert_eq!(chosen_of(&["a", "broken"], "y"), None::<PathBuf>);
    }
}
