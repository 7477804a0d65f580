//! tofu's CLI configuration (HCL 1): the operator's merged into ours.
//!
//! Rules: the operator's bytes are cut, never printed anew; every text we hand out has exactly one
//! `oci_default_credentials` block (two make tofu crash, none brings the host's own logins back); no registry
//! credential of ours is ever written into either text.

mod error;
// Fed by fuzzers.
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzz;
mod item;
mod json;
mod kept_tokens;
mod lexer;
mod merge;
mod mirror;
mod native;
mod oci;
mod places;
// What tofu says about its CLI configuration on stderr.
pub mod problems;
mod quoted;
mod source_file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

pub use error::CliConfigurationError;
pub use kept_tokens::KeptTokens;
pub use mirror::OciMirror;
pub use oci::{OciCredentials, OciDefaults, OciSettings};
pub use places::Places;

use self::item::{Item, Value};
use self::merge::Merge;
use self::source_file::SourceFile;
use crate::secret::Secret;

/// The operator's CLI configuration: its file, and the `*.tfrc` and `*.tfrc.json` files of its directory. May hold
/// registry tokens (`credentials` blocks), so its text is wiped when dropped and never shown.
pub struct OperatorConfiguration {
    files: Vec<SourceFile>,
}

impl OperatorConfiguration {
    /// No CLI configuration at all.
    pub fn none() -> Self {
        Self { files: Vec::new() }
    }

    /// Reads `file` and then the `*.tfrc` and `*.tfrc.json` files of `directory` in the order of their names, as tofu
    /// does without `TF_CLI_CONFIG_FILE`, and checks that they can be merged. A missing `directory` is empty; a
    /// missing `file` is an error.
    pub fn read(file: Option<&Path>, directory: Option<&Path>) -> Result<Self, CliConfigurationError> {
        let mut paths: Vec<PathBuf> = file.into_iter().map(Path::to_path_buf).collect();
        if let Some(directory) = directory {
            paths.extend(list(directory)?);
        }
        let files = paths.iter().map(|path| SourceFile::read(path)).collect::<Result<Vec<_>, _>>()?;
        let configuration = Self { files };
        // Both texts, so that what cannot be merged is known before a run depends on it.
        configuration.for_fetch(Path::new("/"))?;
        configuration.for_steps(true, Path::new("/"))?;
        Ok(configuration)
    }

    /// For the fetch step: everything but `oci_*` blocks and `credentials_helper`, plus one `oci_default_credentials`
    /// that names `docker_config` (an absolute path) alone. `credentials` are kept, hence the [`Secret`].
    pub fn for_fetch(&self, docker_config: &Path) -> Result<Secret, CliConfigurationError> {
        self.for_fetch_with(docker_config, &KeptTokens::All)
    }

    /// The same with some `credentials` alone: with the broker those of hosts that it cannot serve.
    pub fn for_fetch_with(&self, docker_config: &Path, tokens: &KeptTokens) -> Result<Secret, CliConfigurationError> {
        self.merge(tokens, Some(docker_config), None)
    }

    /// The mirrors of providers in OCI registries. With one, `plugin_cache_dir` is left out of every text: a provider that
    /// is a link into a cache cannot go with the run to another host.
    pub fn oci_mirrors(&self) -> Result<Vec<OciMirror>, CliConfigurationError> {
        let files = self.files.iter();
        let blocks = files.flat_map(|file| file.items.iter().map(move |item| (file, item)));
        let blocks = blocks.filter(|(_, item)| item.name() == "provider_installation");
        let mirrors = blocks.map(|(file, item)| mirror::read(file, item)).collect::<Result<Vec<_>, _>>()?;
        Ok(mirrors.into_iter().flatten().collect())
    }

    /// Whether there is one.
    pub fn has_oci_mirror(&self) -> bool {
        let items = self.files.iter().flat_map(|file| &file.items);
        let mut methods =
            items.filter(|item| item.name() == "provider_installation").flat_map(|item| item.value.items());
        methods.any(mirror::is_one)
    }

    /// Host and URL of each service for modules and providers that a `host` block places by hand, so that tofu does not
    /// look for it.
    pub fn services(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        for file in &self.files {
            for block in file.items.iter().filter(|item| item.name() == "host") {
                let Some(host) = block.keys.get(1).and_then(|host| normal_host(host)) else { continue };
                let services = block.value.items().into_iter().filter(|item| item.name() == "services");
                let urls = services.flat_map(|services| services.value.items());
                let urls = urls.filter(|service| matches!(service.name().as_str(), "modules.v1" | "providers.v1"));
                let urls = urls.filter_map(|service| file.text_of(&service.value));
                found.extend(urls.map(|url| (host.clone(), url.to_string())));
            }
        }
        found
    }

    /// The hosts of [`Self::tokens`].
    pub fn token_hosts(&self) -> Vec<String> {
        self.tokens().into_iter().map(|(host, _)| host).collect()
    }

    /// Host (`host[:port]`, in tofu's normal form) and token of each `credentials` block; of two for one host, the
    /// later one counts, as for tofu. A block without a token that can be read has none to offer.
    pub fn tokens(&self) -> Vec<(String, Secret)> {
        let mut tokens: BTreeMap<String, Secret> = BTreeMap::new();
        for file in &self.files {
            for (host, token) in file.items.iter().filter(|item| item.name() == "credentials").flat_map(blocks) {
                if let (Some(host), Some(token)) = (normal_host(host), token.and_then(|token| file.text_of(token))) {
                    tokens.insert(host, Secret::new(token.to_string()));
                }
            }
        }
        tokens.into_iter().collect()
    }

    /// For `init`, `plan`, `apply`: no OCI credential can be found with it, not even the host's own. `credentials`
    /// are left out as well unless `keep_credentials`. What came from an `oci_mirror` is in the directory `mirror` (an
    /// absolute path), which stands in its place.
    pub fn for_steps(&self, keep_credentials: bool, mirror: &Path) -> Result<Secret, CliConfigurationError> {
        let tokens = if keep_credentials { KeptTokens::All } else { KeptTokens::none() };
        self.merge(&tokens, None, Some(mirror))
    }

    fn merge(
        &self,
        tokens: &KeptTokens,
        docker_config: Option<&Path>,
        mirror: Option<&Path>,
    ) -> Result<Secret, CliConfigurationError> {
        let docker_config = docker_config.map(absolute).transpose()?;
        let mirror = mirror.map(absolute).transpose()?;
        let keep_cache = !self.has_oci_mirror();
        Merge { tokens, keep_cache, docker_config, mirror }.text(&self.files)
    }
}

impl fmt::Debug for OperatorConfiguration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.files.iter().map(|file| &file.path)).finish()
    }
}

fn absolute(path: &Path) -> Result<&str, CliConfigurationError> {
    let text = path.is_absolute().then(|| path.to_str()).flatten();
    text.ok_or_else(|| CliConfigurationError::OurPath(path.to_path_buf()))
}

/// Host and token of what is below `credentials`: a labelled block, or blocks in an object.
fn blocks(item: &Item) -> Vec<(&str, Option<&Value>)> {
    match item.keys.get(1) {
        Some(host) => vec![(host, token(&item.value))],
        None => item.value.items().into_iter().map(|block| (block.keys[0].as_str(), token(&block.value))).collect(),
    }
}

fn token(block: &Value) -> Option<&Value> {
    block.items().into_iter().find(|argument| argument.name() == "token").map(|argument| &argument.value)
}

/// Lower case, international names in ASCII, without the port 443.
fn normal_host(text: &str) -> Option<String> {
    let url = url::Url::parse(&format!("https://{text}/")).ok()?;
    let is_host = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    let host = url.host_str().filter(|_| is_host && !text.contains(['@', '/', '\\']))?;
    Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
}

/// The `*.tfrc` and `*.tfrc.json` files of a directory in the order of their names; a missing one has none.
pub(super) fn list(directory: &Path) -> Result<Vec<PathBuf>, CliConfigurationError> {
    let failed = |source| CliConfigurationError::Read { path: directory.to_path_buf(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".tfrc") || name.ends_with(".tfrc.json") {
            paths.push(path);
        }
    }
    paths.sort_unstable();
    Ok(paths)
}

#[cfg(test)]
mod tests;
