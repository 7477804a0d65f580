//! Module sources that a configuration names, and modules that were fetched.
//!
//! Rule: a module source never leaves the uploaded configuration by a path; what a source is is decided from its
//! text alone, before anything is fetched, and what was fetched is looked at again afterwards.

use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why module sources cannot be known or are refused.
#[derive(Debug, Error)]
pub enum ModulesError {
    /// Placeholder until the body follows.
    #[error("{0}")]
    Read(PathBuf),
}

/// One `module` block's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSource {
    /// The label of the block.
    pub name: String,
    /// The source as written, or the expression's text when it is not a plain string.
    pub source: String,
    /// What kind of address it is.
    pub kind: SourceKind,
    /// The file, relative to the configuration's root.
    pub file: PathBuf,
}

/// What kind of address a module source is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A directory of the configuration itself.
    Local,
    /// `oci://HOST[:PORT]/REPOSITORY`: host and repository path, byte for byte as written.
    Oci {
        /// `host[:port]`.
        registry_host: String,
        /// Repository path without leading slash, tag, digest or `//subdir`.
        repository: String,
    },
    /// A module registry: `NAMESPACE/NAME/SYSTEM` or `HOST/NAMESPACE/NAME/SYSTEM`.
    Registry {
        /// The registry's host, `registry.opentofu.org` if none is written.
        host: String,
    },
    /// git, by `git::`, ssh form, or a well-known host.
    Git,
    /// An archive over HTTP(S).
    Http,
    /// Mercurial, S3, GCS or another go-getter form.
    Other,
    /// An expression whose value only tofu knows.
    Expression,
}

/// A module that tofu has fetched or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModule {
    /// The dotted path of calls: `network.subnet`; empty for the root module.
    pub key: String,
    /// The resolved source: for the receipt.
    pub source: String,
    /// Where its files are, relative to tofu's working directory.
    pub directory: PathBuf,
}

/// All sources that the configuration names: its root module in `root/working_directory` and every local module
/// that can be reached from it inside `root`. Refuses sources that can never work or would leave `root`.
pub fn named(root: &Path, working_directory: &Path) -> Result<Vec<ModuleSource>, ModulesError> {
    todo!("{} {}", root.display(), working_directory.display())
}

/// What tofu wrote down in `data_directory/modules/modules.json` after `get`, without the root module. Empty when there is no such file.
/// Fails when a module's files are not inside `working_directory`'s configuration or the data directory.
pub fn fetched(data_directory: &Path) -> Result<Vec<FetchedModule>, ModulesError> {
    todo!("{}", data_directory.display())
}
