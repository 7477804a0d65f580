//! What a CLI configuration of a user's own says of OCI registries: `oci_credentials` and `oci_default_credentials`.
//!
//! Rule: as tofu reads one file (`cliconfig/oci_credentials.go`, 1.12.6): a block that it refuses counts for nothing, and
//! the others count. Of a credential nothing is kept but what kind it is.

use std::path::{Path, PathBuf};

use super::error::CliConfigurationError;
use super::item::{Item, Value};
use super::mirror::bodies;
use super::source_file::SourceFile;

/// What one file says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct OciSettings {
    /// Label and content of each `oci_credentials` block, in order.
    pub credentials: Vec<(String, OciCredentials)>,
    /// `oci_default_credentials` blocks: one is allowed, in all files together.
    pub defaults: Vec<OciDefaults>,
    /// Lines of blocks that tofu complains of and leaves out.
    pub refused: Vec<usize>,
}

/// What an `oci_credentials` block has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OciCredentials {
    /// User and password.
    Pair,
    /// An access token.
    Token,
    /// The name of a credential helper.
    Helper(String),
    /// An empty user or token: nothing that tofu could use, which it finds out when it needs it.
    Empty,
}

/// An `oci_default_credentials` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciDefaults {
    /// Whether tofu looks for Docker-style files.
    pub discovers: bool,
    /// The files, if it is not to search for them.
    pub files: Option<Vec<PathBuf>>,
    /// The credential helper for every host.
    pub helper: Option<String>,
}

impl OciSettings {
    /// Reads them.
    pub fn read(path: &Path) -> Result<Self, CliConfigurationError> {
        let file = SourceFile::read(path)?;
        let mut settings = Self::default();
        for item in &file.items {
            // Unlike most names, these are compared letter by letter.
            let is_read = match item.keys[0].as_str() {
                "oci_credentials" => settings.add_credentials(&file, item),
                "oci_default_credentials" => settings.add_defaults(&file, item),
                _ => true,
            };
            if !is_read {
                settings.refused.push(file.line(item));
            }
        }
        Ok(settings)
    }

    fn add_credentials(&mut self, file: &SourceFile, item: &Item) -> bool {
        let found: Vec<_> = match (item.keys.as_slice(), file.is_json) {
            ([_, label], false) if !item.assigned => vec![credentials(file, label, &item.value)],
            ([_], true) => {
                let blocks = item.value.items().into_iter();
                blocks.map(|block| credentials(file, &block.keys[0], &block.value)).collect()
            }
            _ => return false,
        };
        let is_all = found.iter().all(Option::is_some);
        self.credentials.extend(found.into_iter().flatten());
        is_all
    }

    fn add_defaults(&mut self, file: &SourceFile, item: &Item) -> bool {
        if item.keys.len() > 1 || item.assigned {
            return false;
        }
        let found: Vec<_> = bodies(&item.value).into_iter().map(|body| defaults(file, body)).collect();
        let is_all = !found.is_empty() && found.iter().all(Option::is_some);
        self.defaults.extend(found.into_iter().flatten());
        is_all
    }
}

fn argument<'i>(body: &[&'i Item], name: &str) -> Option<&'i Item> {
    body.iter().find(|argument| argument.name() == name).copied()
}

fn credentials(file: &SourceFile, label: &str, block: &Value) -> Option<(String, OciCredentials)> {
    let body = block.items();
    let [user, password, access, refresh, helper] =
        ["username", "password", "access_token", "refresh_token", "docker_credentials_helper"]
            .map(|name| argument(&body, name));
    // A number is a text for tofu, and no empty one.
    let is_empty = |item: &Item| file.text_of(&item.value).is_some_and(|text| text.is_empty());
    let filled = |item: &Item, kind| if is_empty(item) { OciCredentials::Empty } else { kind };
    let content = match (user, password, access, refresh, helper) {
        (Some(user), Some(_), None, None, None) => filled(user, OciCredentials::Pair),
        (None, None, Some(access), Some(_), None) => filled(access, OciCredentials::Token),
        (None, None, None, None, Some(helper)) => {
            let name = file.text_of(&helper.value)?.to_string();
            let is_helper = !name.is_empty() && !name.contains('/') && !label.contains('/');
            OciCredentials::Helper(is_helper.then_some(name)?)
        }
        _ => return None,
    };
    Some((label.to_owned(), content))
}

fn defaults(file: &SourceFile, body: &[Item]) -> Option<OciDefaults> {
    let body: Vec<&Item> = body.iter().collect();
    let discovers = argument(&body, "discover_ambient_credentials").map_or(Some(true), |item| truth(file, item))?;
    let files = match argument(&body, "docker_style_config_files").map(|item| &item.value) {
        Some(Value::List(values)) => {
            let names = values.iter().map(|value| file.text_of(value)).collect::<Option<Vec<_>>>()?;
            let directory = file.path.parent().unwrap_or(Path::new(""));
            Some(names.iter().map(|name| directory.join(name.as_str())).collect())
        }
        Some(_) => return None,
        None => None,
    };
    let helper = match argument(&body, "docker_credentials_helper") {
        Some(item) => Some(file.text_of(&item.value)?.to_string()).filter(|name| !name.is_empty()),
        None => None,
    };
    Some(OciDefaults { discovers, files, helper })
}

/// A truth value, which HCL 1 takes in quotes as well.
fn truth(file: &SourceFile, item: &Item) -> Option<bool> {
    let value = file.bytes(item).rsplit(['=', ':']).next().unwrap_or_default();
    match value.trim().trim_matches('"').to_ascii_lowercase().as_str() {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{OciCredentials as C, OciDefaults, OciSettings};

    fn read(text: &str) -> OciSettings {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("tofurc");
        std::fs::write(&file, text).unwrap();
        let mut settings = OciSettings::read(&file).unwrap();
        for path in settings.defaults.iter_mut().filter_map(|one| one.files.as_mut()).flatten() {
            *path = path.strip_prefix(directory.path()).map_or_else(|_| path.clone(), PathBuf::from);
        }
        settings
    }

    #[test]
    fn blocks_are_read_in_both_syntaxes() {
        let native = r#"
            oci_credentials "h.example" {
              username = "u"
              password = "geheim"
            }
            oci_credentials "h.example/team" {
              access_token  = "geheim"
              refresh_token = ""
            }
            oci_credentials "g.example" { docker_credentials_helper = "x" }
            oci_credentials "e.example" {
              username = ""
              password = ""
            }
            oci_default_credentials {
              docker_style_config_files = ["/a", "b/c"]
              docker_credentials_helper = "all"
            }
        "#;
        let json = r#"{
            "oci_credentials": {
              "h.example": {"username": "u", "password": "geheim"},
              "h.example/team": {"access_token": "geheim", "refresh_token": ""},
              "g.example": {"docker_credentials_helper": "x"},
              "e.example": {"username": "", "password": ""}
            },
            "oci_default_credentials": {"docker_style_config_files": ["/a", "b/c"], "docker_credentials_helper": "all"}
        }"#;
        let of = |label: &str, kind: C| (label.to_owned(), kind);
        for text in [native, json] {
            let settings = read(text);
            let helper = C::Helper("x".to_owned());
            let expected = [of("h.example", C::Pair), of("h.example/team", C::Token), of("g.example", helper)];
            assert_eq!(settings.credentials[..3], expected, "{text}");
            assert_eq!(settings.credentials[3..], [of("e.example", C::Empty)]);
            let files = Some(vec!["/a".into(), "b/c".into()]);
            let default = OciDefaults { discovers: true, files, helper: Some("all".to_owned()) };
            assert_eq!((settings.defaults, settings.refused), (vec![default], vec![]));
        }
    }

    #[test]
    fn what_tofu_refuses_counts_for_nothing() {
        for text in [
            "oci_credentials \"h\" {\n  username = \"u\"\n}\n",
            "oci_credentials \"h\" {\n  access_token = \"t\"\n}\n",
            "oci_credentials \"h\" {}\n",
            "oci_credentials {\n  username = \"u\"\n  password = \"p\"\n}\n",
            "oci_credentials \"h\" {\n  username = \"u\"\n  password = \"p\"\n  docker_credentials_helper = \"x\"\n}\n",
            "oci_credentials \"h/team\" {\n  docker_credentials_helper = \"x\"\n}\n",
            "oci_credentials \"h\" {\n  docker_credentials_helper = \"a/b\"\n}\n",
            "oci_default_credentials \"h\" {}\n",
            "oci_default_credentials = {}\n",
            "oci_default_credentials {\n  docker_style_config_files = \"/a\"\n}\n",
            "oci_default_credentials {\n  discover_ambient_credentials = 7\n}\n",
        ] {
            let refused = OciSettings { refused: vec![1], ..OciSettings::default() };
            assert_eq!(read(text), refused, "{text}");
        }
        // Nobody complains of a name that is none.
        assert_eq!(read("default_oci_credentials {}\nOCI_default_credentials {}\n"), OciSettings::default());
    }

    #[test]
    fn the_search_can_be_switched_off() {
        for (text, discovers, files) in [
            ("oci_default_credentials {}", true, None),
            ("oci_default_credentials { discover_ambient_credentials = false }", false, None),
            ("{\"oci_default_credentials\": {\"discover_ambient_credentials\": false}}", false, None),
            ("oci_default_credentials { docker_style_config_files = [] }", true, Some(vec![])),
        ] {
            let settings = read(text);
            assert_eq!(settings.defaults, [OciDefaults { discovers, files, helper: None }], "{text}");
        }
    }
}
