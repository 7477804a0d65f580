//! What tofu fetched, by its own list (`modules/modules.json` in its data directory).
//!
//! Rule: every module's files are inside the configuration or among the fetched modules, links resolved. go-getter
//! answers an absolute path with a link, so a computed source could bring in any directory of the host.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::ModulesError;
use super::address::shown;
use crate::tofu::record;

/// A module that tofu has fetched or found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedModule {
    /// The dotted path of calls: `network.subnet`.
    pub key: String,
    /// The resolved source as it may be shown: for the receipt.
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
    for module in record.modules.into_iter().filter(|module| !module.key.is_empty()) {
        let real = working_directory.join(&module.directory).canonicalize();
        if !real.is_ok_and(|real| real.starts_with(&root) || real.starts_with(&data)) {
            return Err(ModulesError::Outside { key: module.key, directory: module.directory });
        }
        modules.push(FetchedModule { key: module.key, source: shown(&module.source), directory: module.directory });
    }
    Ok(modules)
}
