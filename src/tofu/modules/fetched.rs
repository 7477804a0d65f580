//! What tofu fetched, by its own list (`modules/modules.json` in its data directory).
//!
//! Rule: every module's files are inside the configuration or among the fetched modules, links resolved. go-getter
//! answers an absolute path with a link, so a computed source could bring in any directory of the host. A source is
//! shown only if it stands literally in the configuration: a computed one may hold whatever an expression can read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ModulesError;
use super::address::shown;
use crate::tofu::language::{self, LanguageError, Source};
use crate::tofu::record;

/// What is shown of a computed source.
const COMPUTED: &str = "…";

/// A module that tofu has fetched or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModule {
    /// The dotted path of calls: `network.subnet`.
    pub key: String,
    /// The resolved source as it may be shown, `…` if it was computed: for the receipt.
    pub source: String,
    /// Where its files are, as tofu says it: relative to its working directory.
    pub directory: PathBuf,
}

#[derive(Deserialize)]
struct Record {
    #[serde(rename = "Modules")]
    modules: Vec<Module>,
}

#[derive(Deserialize)]
struct Module {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Source")]
    source: String,
    #[serde(rename = "Dir")]
    directory: PathBuf,
}

/// What tofu wrote down in `data_directory/modules/modules.json` after `get`, without the root module. Empty when
/// there is no such file. `root` is the unpacked configuration, `working_directory` tofu's own (an absolute path in
/// it). Fails when a module's files are neither in `root` nor in `data_directory`.
pub fn fetched(
    root: &Path,
    working_directory: &Path,
    data_directory: &Path,
) -> Result<Vec<FetchedModule>, ModulesError> {
    let path = data_directory.join("modules/modules.json");
    let failed = |source| ModulesError::Record { path: path.clone(), source };
    let Some(bytes) = record::read(&path).map_err(failed)? else { return Ok(Vec::new()) };
    let record: Record =
        serde_json::from_slice(&bytes).map_err(|_| failed(std::io::Error::from(std::io::ErrorKind::InvalidData)))?;
    let root = root.canonicalize().map_err(failed)?;
    let data = data_directory.canonicalize().map_err(failed)?;
    let mut modules = Vec::new();
    let mut callers = Callers::new(working_directory, &record);
    for module in record.modules.into_iter().filter(|module| !module.key.is_empty()) {
        let real = working_directory.join(&module.directory).canonicalize();
        if !real.is_ok_and(|real| real.starts_with(&root) || real.starts_with(&data)) {
            return Err(ModulesError::Outside { key: module.key, directory: module.directory });
        }
        let source = if callers.say_literally(&module.key) { shown(&module.source) } else { COMPUTED.to_owned() };
        modules.push(FetchedModule { key: module.key, source, directory: module.directory });
    }
    Ok(modules)
}

/// The modules that call others, by their keys.
struct Callers {
    directories: BTreeMap<String, PathBuf>,
    /// Names of the calls whose source is literal, of each caller that was looked at.
    literal: BTreeMap<String, BTreeSet<String>>,
}

impl Callers {
    fn new(working_directory: &Path, record: &Record) -> Self {
        let place = |module: &Module| (module.key.clone(), working_directory.join(&module.directory));
        let mut directories: BTreeMap<_, _> = record.modules.iter().map(place).collect();
        directories.insert(String::new(), working_directory.to_owned());
        Self { directories, literal: BTreeMap::new() }
    }

    /// Whether the source of the module `key` stands literally where it is called.
    fn say_literally(&mut self, key: &str) -> bool {
        let (caller, name) = key.rsplit_once('.').unwrap_or(("", key));
        if !self.literal.contains_key(caller) {
            // What cannot be read is not known to be literal.
            let calls = self.directories.get(caller).and_then(|directory| literal_calls(directory).ok());
            self.literal.insert(caller.to_owned(), calls.unwrap_or_default());
        }
        self.literal.get(caller).is_some_and(|names| names.contains(name))
    }
}

fn literal_calls(directory: &Path) -> Result<BTreeSet<String>, LanguageError> {
    let files = language::list(directory)?;
    let (mut literal, mut computed) = (BTreeSet::new(), BTreeSet::new());
    for file in files.primary.iter().chain(&files.overrides) {
        for call in language::read(file)?.module_calls {
            match call.source {
                Some(Source::Literal(_)) => literal.insert(call.name),
                Some(Source::Expression(_)) => computed.insert(call.name),
                None => false,
            };
        }
    }
    Ok(literal.difference(&computed).cloned().collect())
}
