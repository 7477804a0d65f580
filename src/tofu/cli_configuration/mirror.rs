//! `oci_mirror`: providers that the operator takes from an OCI registry.
//!
//! Rule: tofu alone decides what it fetches and from where. Here is only what must be known beside it: which registry
//! hosts that needs, which of the fetched providers are a mirror's (as in `getproviders/multi_source.go`: included, or
//! nothing is, and not excluded), and the block that stands for it once they are on this host.

use super::error::CliConfigurationError;
use super::item::{Item, Value};
use super::normal_host;
use super::quoted::quote;
use super::source_file::SourceFile;

/// The block's name.
const NAME: &str = "oci_mirror";
/// What it may leave out of a pattern.
const DEFAULT_HOST: &str = "registry.opentofu.org";
/// Any word, in a pattern.
const ANY: &str = "*";

/// One `oci_mirror` block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OciMirror {
    /// `repository_template`: the repository of a provider, as an expression over `hostname`, `namespace` and `type`.
    pub template: String,
    include: Vec<[String; 3]>,
    exclude: Vec<[String; 3]>,
}

impl OciMirror {
    /// `host[:port]` of its registry, as written; `None` if the template computes it.
    pub fn registry_host(&self) -> Option<&str> {
        let (host, _) = self.template.split_once('/')?;
        (!is_computed(host)).then_some(host)
    }

    /// The part of the repository that is the same for all providers, without slashes at its ends; empty if there is
    /// none.
    pub fn common_path(&self) -> &str {
        let path = self.template.split_once('/').map_or("", |(_, path)| path);
        let end = path.find(['$', '%']).unwrap_or(path.len());
        let literal = path.get(..end).unwrap_or_default();
        // A word that goes on behind the expression's beginning is not the whole word.
        if end == path.len() { literal } else { literal.rsplit_once('/').map_or("", |(whole, _)| whole) }
    }

    /// Whether a provider, by its host name, namespace and type, may come from here.
    pub fn serves(&self, provider: [&str; 3]) -> bool {
        let listed = |patterns: &[[String; 3]]| patterns.iter().any(|pattern| fits(pattern, provider));
        (self.include.is_empty() || listed(&self.include)) && !listed(&self.exclude)
    }
}

/// Whether this installation method is an `oci_mirror`.
pub(super) fn is_one(method: &Item) -> bool {
    method.name() == NAME
}

/// The mirrors of a `provider_installation` block.
pub(super) fn read(file: &SourceFile, installation: &Item) -> Result<Vec<OciMirror>, CliConfigurationError> {
    let methods = installation.value.items().into_iter().filter(|method| is_one(method));
    let blocks = methods.flat_map(|method| bodies(&method.value).into_iter().map(move |body| (method, body)));
    blocks.map(|(method, body)| read_one(file, method, body)).collect()
}

fn read_one(file: &SourceFile, method: &Item, arguments: &[Item]) -> Result<OciMirror, CliConfigurationError> {
    let broken =
        |message| CliConfigurationError::OciMirror { path: file.path.clone(), line: file.line(method), message };
    let argument = |name: &str| arguments.iter().find(|argument| argument.name() == name).map(|found| &found.value);
    let template = argument("repository_template").and_then(|value| file.text_of(value));
    let template = template.filter(|text| !text.is_empty()).ok_or(broken("it has no `repository_template`"))?;
    let (host, _) = template.split_once('/').ok_or(broken("its `repository_template` names no repository"))?;
    // `https://…` leaves `https:`, which would be a host with an empty port.
    if !is_computed(host) && (host.ends_with(':') || normal_host(host).is_none()) {
        return Err(broken("its `repository_template` does not begin with the host of a registry"));
    }
    let patterns = |name: &str| {
        let Some(value) = argument(name) else { return Ok(Vec::new()) };
        let Value::List(values) = value else { return Err(broken("`include` and `exclude` are lists")) };
        let pattern = |value: &Value| file.text_of(value).and_then(|text| pattern(&text));
        let wrong = || {
            broken("in `include` and `exclude` stands something else than `namespace/type` or `host/namespace/type`")
        };
        values.iter().map(|value| pattern(value).ok_or_else(wrong)).collect()
    };
    Ok(OciMirror { include: patterns("include")?, exclude: patterns("exclude")?, template: template.to_string() })
}

/// The text of a `provider_installation` block in which each `oci_mirror` has become a `filesystem_mirror` of the
/// directory `mirror`, for the same providers.
pub(super) fn replaced(file: &SourceFile, installation: &Item, mirror: &str) -> String {
    let whole = &file.text;
    let mut text = String::with_capacity(installation.range.len() + 256);
    let mut at = installation.range.start;
    for method in installation.value.items().into_iter().filter(|method| is_one(method)) {
        text.push_str(&whole[at..method.range.start]);
        let blocks = bodies(&method.value).into_iter().map(|arguments| block(file, arguments, mirror));
        if file.is_json {
            text.push_str("\"filesystem_mirror\": [");
            text.push_str(&blocks.collect::<Vec<_>>().join(", "));
            text.push(']');
        } else {
            text.push_str(&blocks.collect::<String>());
        }
        at = method.range.end;
    }
    text.push_str(&whole[at..installation.range.end]);
    text
}

fn block(file: &SourceFile, arguments: &[Item], mirror: &str) -> String {
    let kept = arguments.iter().filter(|argument| matches!(argument.name().as_str(), "include" | "exclude"));
    let kept: Vec<&str> = kept.map(|argument| file.bytes(argument)).collect();
    let (is, between, end) = if file.is_json { ("\"path\": ", ", ", "}") } else { ("path = ", "\n    ", "\n  }") };
    let start = if file.is_json { "{" } else { "filesystem_mirror {\n    " };
    let path = format!("{is}{}", quote(mirror));
    format!("{start}{}{end}", [&[path.as_str()], &kept[..]].concat().join(between))
}

/// The bodies behind one name: JSON may have several in a list.
pub(super) fn bodies(value: &Value) -> Vec<&[Item]> {
    match value {
        Value::Object(items) => vec![items],
        Value::List(values) => values.iter().flat_map(bodies).collect(),
        Value::Text(_) | Value::Other => Vec::new(),
    }
}

/// Whether there is an expression or a directive in a piece of a template.
fn is_computed(text: &str) -> bool {
    text.contains("${") || text.contains("%{")
}

/// `namespace/type` or `host/namespace/type`, each with `*` for any.
fn pattern(text: &str) -> Option<[String; 3]> {
    let parts: Vec<&str> = text.split('/').collect();
    let (host, rest) = match parts.as_slice() {
        [host, rest @ ..] if rest.len() == 2 => (*host, rest),
        rest if rest.len() == 2 => (DEFAULT_HOST, rest),
        _ => return None,
    };
    let host = if host == ANY { ANY.to_owned() } else { normal_host(host)? };
    let [namespace, kind] = rest else { return None };
    let is_name = |name: &str| !name.is_empty();
    (is_name(namespace) && is_name(kind)).then(|| [host, namespace.to_lowercase(), kind.to_lowercase()])
}

fn fits(pattern: &[String; 3], [host, namespace, kind]: [&str; 3]) -> bool {
    // tofu's directories have international names as people read them.
    let host = normal_host(host).unwrap_or_default();
    pattern.iter().zip([host.as_str(), namespace, kind]).all(|(wanted, is)| wanted == ANY || wanted == is)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{CliConfigurationError, KeptTokens, OperatorConfiguration, SourceFile};
    use super::OciMirror;

    fn operator(text: &str) -> Result<OperatorConfiguration, CliConfigurationError> {
        let file = SourceFile::scan(Path::new("/etc/x.tfrc"), text.to_owned())?;
        Ok(OperatorConfiguration { files: vec![file] })
    }

    fn mirrors(text: &str) -> Vec<OciMirror> {
        operator(text).unwrap().oci_mirrors().unwrap()
    }

    fn block(arguments: &str) -> String {
        format!("provider_installation {{\n  oci_mirror {{\n    {arguments}\n  }}\n}}\n")
    }

    const TEMPLATE: &str = "repository_template = \"r.example:5000/tofu/${namespace}/${type}\"";

    #[test]
    fn host_and_common_path_are_what_stands_before_the_first_expression() {
        for (template, host, path) in [
            ("r.example:5000/tofu/${namespace}/${type}", Some("r.example:5000"), "tofu"),
            ("r.example/${namespace}-${type}", Some("r.example"), ""),
            ("r.example/a/b-${type}", Some("r.example"), "a"),
            ("r.example/a/b/time", Some("r.example"), "a/b/time"),
            ("r.example/%{ if true }a%{ endif }/${type}", Some("r.example"), ""),
            ("${hostname}/tofu/${type}", None, "tofu"),
            ("${replace(hostname, \"/\", \"-\")}.example/x", None, ""),
        ] {
            let found = mirrors(&block(&format!("repository_template = \"{template}\"")));
            assert_eq!(found.len(), 1, "{template}");
            assert_eq!(found[0].registry_host(), host, "{template}");
            if host.is_some() {
                assert_eq!(found[0].common_path(), path, "{template}");
            }
        }
    }

    #[test]
    fn include_and_exclude_are_understood_as_by_tofu() {
        let serves =
            |more: &str, provider: [&str; 3]| mirrors(&block(&format!("{TEMPLATE}\n    {more}")))[0].serves(provider);
        let time = ["registry.opentofu.org", "hashicorp", "time"];
        let own = ["tofu.example.com", "acme", "net"];
        assert!(serves("", time) && serves("", own));
        assert!(serves("include = [\"hashicorp/*\"]", time) && !serves("include = [\"hashicorp/*\"]", own));
        assert!(
            serves("include = [\"Tofu.Example.com/*/*\"]", own)
                && !serves("include = [\"tofu.example.com/*/*\"]", time)
        );
        assert!(serves("include = [\"*/*/*\"]\n    exclude = [\"acme/net\"]", own));
        assert!(!serves("include = [\"*/*/*\"]\n    exclude = [\"*/ACME/net\"]", own));
        assert!(!serves("exclude = [\"hashicorp/time\"]", time));
        assert!(!serves("include = [\"hashicorp/tim\"]", time));
    }

    #[test]
    fn what_cannot_be_a_mirror_is_refused_with_its_line() {
        for arguments in [
            "include = [\"a/b\"]",
            "repository_template = \"\"",
            "repository_template = 7",
            "repository_template = \"r.example\"",
            "repository_template = \"https://r.example/${type}\"",
            "repository_template = \"/tofu/${type}\"",
            "repository_template = \"u:p@r.example/${type}\"",
            "repository_template = \"r.example/${type}\"\n    include = \"a/b\"",
            "repository_template = \"r.example/${type}\"\n    include = [\"time\"]",
            "repository_template = \"r.example/${type}\"\n    exclude = [\"a/b/c/d\"]",
            "repository_template = \"r.example/${type}\"\n    exclude = [\"a/\"]",
            "repository_template = \"r.example/${type}\"\n    exclude = [\"a b/c/d\"]",
            "repository_template = \"r.example/${type}\"\n    exclude = [7]",
        ] {
            let error = operator(&block(arguments)).unwrap().for_fetch(Path::new("/d")).unwrap_err();
            assert!(matches!(error, CliConfigurationError::OciMirror { line: 2, .. }), "{arguments}: {error}");
            assert!(error.hint().unwrap().contains("${namespace}"), "{error}");
        }
    }

    #[test]
    fn the_fetch_step_has_the_mirror_and_the_later_steps_have_what_was_fetched() {
        let before =
            "plugin_cache_dir = \"/cache\"\nprovider_installation {\n  filesystem_mirror { path = \"/m\" }\n  ";
        let after = "\n  # the rest\n  direct { exclude = [\"hashicorp/*\"] }\n}\n";
        let mirror =
            format!("oci_mirror {{\n    {TEMPLATE} # here\n    include = [\"hashicorp/*\"]\n    EXCLUDE = []\n  }}");
        let operator = operator(&format!("{before}{mirror}{after}")).unwrap();
        let fetch = operator.for_fetch_with(Path::new("/run/1/docker/config.json"), &KeptTokens::none()).unwrap();
        assert!(
            fetch.expose().contains(&mirror) && !fetch.expose().contains("filesystem_mirror {\n"),
            "{}",
            fetch.expose()
        );
        let steps = operator.for_steps(false, Path::new("/run/1/providers")).unwrap();
        let instead = "filesystem_mirror {\n    path = \"/run/1/providers\"\n    include = [\"hashicorp/*\"]\n    EXCLUDE = []\n  }";
        assert!(
            steps.expose().contains(&format!("filesystem_mirror {{ path = \"/m\" }}\n  {instead}{after}")),
            "{}",
            steps.expose()
        );
        for text in [fetch, steps] {
            assert!(!text.expose().contains("plugin_cache_dir"), "{}", text.expose());
        }
    }

    #[test]
    fn json_stays_json() {
        let body = r#"{"repository_template": "r.example/${namespace}/${type}", "include": ["a/*"]}"#;
        for (value, count) in [(body.to_owned(), 1), (format!("[{body}, {body}]"), 2)] {
            let text = format!("{{\"provider_installation\": [{{\"oci_mirror\": {value}, \"direct\": {{}}}}]}}");
            let operator = operator(&text).unwrap();
            assert_eq!(operator.oci_mirrors().unwrap().len(), count);
            let steps = operator.for_steps(false, Path::new("/run/$1/p")).unwrap();
            let one = r#"{"path": "/run/\u00241/p", "include": ["a/*"]}"#;
            let all = vec![one; count].join(", ");
            let wanted = format!("[{{\"filesystem_mirror\": [{all}], \"direct\": {{}}}}]");
            assert!(steps.expose().contains(&wanted), "{}", steps.expose());
        }
    }
}
