//! Module sources that a configuration names, and modules that were fetched.
//!
//! Rule: a module source never leaves the uploaded configuration by a path. What a source is is decided from its text
//! alone, before anything is fetched; what was fetched is looked at again afterwards, because tofu may compute a
//! source from variables.

mod address;
mod fetched;
mod oci;
mod oci_fault;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

pub use address::SourceKind;
pub use fetched::{FetchedModule, fetched};
pub use oci::{OciSource, OciVersion};
pub use oci_fault::{OciFault, Weight};

use super::language::{self, LanguageError, Source};

/// Why module sources cannot be known or are refused.
#[derive(Debug, Error)]
pub enum ModulesError {
    /// A file was not understood.
    #[error(transparent)]
    Language(#[from] LanguageError),
    /// A path from the root of the file system, in whatever way it is written.
    #[error("the source of module {name:?} ({}) is an absolute path: {path:?}", file.display())]
    Absolute {
        /// The label of the block.
        name: String,
        /// The source as written.
        path: String,
        /// Where it stands.
        file: PathBuf,
    },
    /// A relative path that leads out of the configuration.
    #[error("the source of module {name:?} ({}) leads out of the configuration: {path:?}", file.display())]
    Leaves {
        /// The label of the block.
        name: String,
        /// The source as written.
        path: String,
        /// Where it stands.
        file: PathBuf,
    },
    /// tofu's list of modules cannot be read.
    #[error("the list of fetched modules cannot be read from {}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A module's files are somewhere else than in the configuration or among the fetched modules.
    #[error("module {key:?} was fetched from outside of the configuration: {}", directory.display())]
    Outside {
        /// The dotted path of calls.
        key: String,
        /// Where its files are.
        directory: PathBuf,
    },
}

impl ModulesError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Language(error) => return error.hint(),
            Self::Absolute { .. } | Self::Outside { .. } => {
                "move the module into the configuration and name it by `./`, or publish it".to_owned()
            }
            Self::Leaves { .. } => "upload a directory further up: `--root DIR` names it".to_owned(),
            Self::Record { .. } => return None,
        })
    }
}

/// One `module` block's source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModuleSource {
    /// The label of the block.
    pub name: String,
    /// The source as it may be shown: without user information and without unknown query values.
    pub source: String,
    /// What kind of address it is.
    pub kind: SourceKind,
    /// The file, relative to the configuration's root.
    pub file: PathBuf,
    /// For one in an OCI registry, its parts and what is wrong with them.
    pub oci: Option<OciSource>,
}

impl ModuleSource {
    /// The source `text` of the block `name` in `file`.
    pub fn of(name: String, text: &str, file: PathBuf) -> Self {
        let kind = SourceKind::of(text);
        let oci = matches!(kind, SourceKind::Oci { .. }).then(|| OciSource::read(text));
        Self { name, source: address::shown(text), kind, file, oci }
    }
}

/// All sources that the configuration names: its root module in `root/working_directory` and every local module
/// that can be reached from it inside `root`. Refuses sources that can never work or would leave `root`.
pub fn named(root: &Path, working_directory: &Path) -> Result<Vec<ModuleSource>, ModulesError> {
    let Some(start) = inside(Path::new(""), working_directory) else {
        let file = working_directory.to_path_buf();
        return Err(ModulesError::Leaves { name: String::new(), path: file.display().to_string(), file });
    };
    let mut seen = BTreeSet::from([start.clone()]);
    let mut open = vec![start];
    let mut found = Vec::new();
    while let Some(directory) = open.pop() {
        let files = language::list(&root.join(&directory))?;
        for file in files.primary.iter().chain(&files.overrides) {
            let shown = file.strip_prefix(root).unwrap_or(file).to_path_buf();
            for call in language::read(file)?.module_calls {
                let Some(source) = call.source else { continue };
                let (module, next) = look_at(call.name, source, &directory, shown.clone())?;
                found.push(module);
                // A local module that is not there is tofu's to report.
                if let Some(next) = next
                    && root.join(&next).is_dir()
                    && seen.insert(next.clone())
                {
                    open.push(next);
                }
            }
        }
    }
    Ok(found)
}

/// Says what a source is and, for a local one, which directory below the root it is.
fn look_at(
    name: String,
    source: Source,
    directory: &Path,
    file: PathBuf,
) -> Result<(ModuleSource, Option<PathBuf>), ModulesError> {
    let text = match source {
        Source::Literal(text) => text,
        Source::Expression(text) => {
            let kind = SourceKind::Expression;
            return Ok((ModuleSource { name, source: text, kind, file, oci: None }, None));
        }
    };
    if address::is_absolute(&text) {
        return Err(ModulesError::Absolute { name, path: text, file });
    }
    let module = ModuleSource::of(name, &text, file);
    let mut next = None;
    if module.kind == SourceKind::Local {
        next = inside(directory, Path::new(&text.replace('\\', "/")));
        if next.is_none() {
            return Err(ModulesError::Leaves { name: module.name, path: text, file: module.file });
        }
    }
    Ok((module, next))
}

/// `path` seen from `directory`, both relative to the same root; `None` if it leads out of it.
fn inside(directory: &Path, path: &Path) -> Option<PathBuf> {
    let mut result = directory.to_path_buf();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::Normal(name) => result.push(name),
            Component::ParentDir => {
                if !result.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests;
