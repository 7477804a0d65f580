//! Directories of the host that the operator's CLI configuration names: a step must see them.

use std::path::{Path, PathBuf};

use super::OperatorConfiguration;
use super::item::Item;

/// What is where.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// Providers to be read: `filesystem_mirror`, `dev_overrides`.
    pub mirrors: Vec<PathBuf>,
    /// Where tofu keeps the providers that it has downloaded: `plugin_cache_dir`.
    pub cache: Option<PathBuf>,
}

impl OperatorConfiguration {
    /// The directories, absolute. `home` is what `$HOME` will be in the steps.
    pub fn places(&self, home: Option<&Path>) -> Places {
        let mut places = Places::default();
        for (file, item) in self.files.iter().flat_map(|file| file.items.iter().map(move |item| (file, item))) {
            match item.name().as_str() {
                "plugin_cache_dir" => {
                    let cache = file.text_of(&item.value).and_then(|path| absolute(&path, home));
                    places.cache = places.cache.or(cache);
                }
                "provider_installation" => {
                    let arguments = item.value.items().into_iter().flat_map(named);
                    let paths = arguments.filter_map(|argument| file.text_of(&argument.value));
                    places.mirrors.extend(paths.filter_map(|path| absolute(&path, home)));
                }
                _ => {}
            }
        }
        places
    }
}

/// The arguments of an installation method that are directories.
fn named(method: &Item) -> Vec<&Item> {
    let mut arguments = method.value.items();
    match method.name().as_str() {
        "filesystem_mirror" => arguments.retain(|argument| argument.name() == "path"),
        "dev_overrides" => {}
        _ => arguments.clear(),
    }
    arguments
}

fn absolute(text: &str, home: Option<&Path>) -> Option<PathBuf> {
    let below_home = text.strip_prefix("$HOME/").or_else(|| text.strip_prefix("${HOME}/"));
    match (below_home, home) {
        (Some(rest), Some(home)) => Some(home.join(rest)),
        _ => Some(PathBuf::from(text)).filter(|path| path.is_absolute()),
    }
}
